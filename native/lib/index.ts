export type { KernelMetric, Kernels, KernelVariant } from './kernels.js'
