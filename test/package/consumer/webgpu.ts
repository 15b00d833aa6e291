// A strict program that knows WebGPU: devices and buffers of its own go in, and come out as what they are.
import { Gpu } from 'pentimento';
import { type BufferSlice, readCaps } from 'pentimento/kernels';

declare const device: GPUDevice;
declare const entry: GPU;
declare const info: GPUAdapterInfo;

export const taken: Promise<Gpu> = Gpu.request({ device });
export const asked: Promise<Gpu> = Gpu.request({ gpu: entry, powerPreference: 'high-performance' });
export const deviceOf = (gpu: Gpu): GPUDevice => gpu.device;
export const bufferOf = (slice: BufferSlice): GPUBuffer => slice.buffer;
export const slice = (buffer: GPUBuffer): BufferSlice => ({ buffer, offset: 0, size: 256 });
export const caps = readCaps(device, info);

// @ts-expect-error a buffer is no device
void Gpu.request({ device: bufferOf(slice(device.createBuffer({ size: 4, usage: 1 }))) });
