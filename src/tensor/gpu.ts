/** The device handle, for layers that pass it on and never look inside. */
export type { Gpu } from '../gpu/device.ts';
