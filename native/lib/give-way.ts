import { addon } from './addon.js'

/**
 * Let another thread that waits for this processor run first; else return at once (0.3 us). For a thread that looks again and again for
 * what another does: on a machine with few processors it may sit on the one that the other needs. Without the addon nothing happens.
 */
export function giveWay(): void {
  addon?.giveWay()
}
