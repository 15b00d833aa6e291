/** `pentimento/safetensors`: the format alone, for files of any size, without a device. @module */
export type { ByteSource, StoredDType, StoredTensor, TensorSource } from './core/tensor-source.ts';
export { openSafetensors, type SafetensorsSource, type WritableTensor, writeSafetensors } from './io/safetensors.ts';
