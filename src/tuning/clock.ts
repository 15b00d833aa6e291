/** What times are read off. */

/**
 * What is read: `timestamps` of the device around a pass; the wall `clock` from submission to the end; or the seconds of the `processor`
 * over all threads, the honest ones on software adapters in Node, since no load of the machine changes them.
 */
export type Clock = 'timestamps' | 'clock' | 'processor';

/** All of them. */
export const CLOCKS: readonly Clock[] = ['timestamps', 'clock', 'processor'];
