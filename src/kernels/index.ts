/** The kernels and their dispatcher, for people who measure or reuse them: `pentimento/kernels`. */
export * from '../gpu/buffer.ts';
export * from '../gpu/caps.ts';
export { Gpu, type GpuOptions } from '../gpu/device.ts';
export { specialize } from '../gpu/specialize.ts';
export * from './conv2d.ts';
export * from './dispatch.ts';
export * from './gemm.ts';
export * from './kernel.ts';
export * from './libs.ts';
export * from './pack-weight.ts';
