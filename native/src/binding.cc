/* The only C++ and the only file that knows Node. It unpacks arguments (which lib/checked.ts has checked), calls C and
 * returns. It keeps no state, so any number of workers may load it. */
#include <nan.h>

NAN_MODULE_INIT(init) {}

NAN_MODULE_WORKER_ENABLED(drift, init)
