/** `pentimento/safetensors`: the format alone, for files of any size, without a device. @module */
export type {
  ByteRange,
  ByteSource,
  StoredDType,
  StoredTensor,
  TensorRange,
  TensorSource,
} from './core/tensor-source.ts';
export { openSafetensors, type SafetensorsSource, type WritableTensor, writeSafetensors } from './io/safetensors.ts';
