/** `pentimento/node`: files, pictures, downloads and Dawn's device. The pipeline itself comes from `pentimento`. @module */
export type { AbortSignalLike, BlobLike, PagePicture, Platform, UrlLike } from '../core/platform.ts';
export type { ByteRange, ByteSource, FolderSource } from '../core/tensor-source.ts';
export type { Caps, CapsOptions, HalfStorage, MatrixUnits } from '../gpu/caps.ts';
export type { GpuOptions } from '../gpu/device.ts';
export type { DeviceChoice, DeviceTuning, DeviceTuningTable, FindTuning, PlainTuning } from '../gpu/device-tuning.ts';
export type {
  PlainAdapterInfo,
  PlainLimits,
  WebGpuAdapterInfo,
  WebGpuLimits,
  WebGpuPowerPreference,
} from '../gpu/webgpu-types.ts';
export type { GreyImage, RgbImage } from '../io/image.ts';
export type { ImageInput } from '../io/load-image.ts';
export { type AdapterDescription, listAdapters, type NodeGpuOptions, requestGpu } from './device.ts';
export { directory, fileSource } from './files.ts';
export { type DownloadEvent, type FetchModelOptions, fetchModel } from './hub.ts';
export { type HubFolderOptions, hubFolder } from './hub-folder.ts';
export { decodeImage, encodeJpeg, encodePng, readImage, saveImage } from './images.ts';
export {
  type KeptTuningFile,
  type KeptTuningOptions,
  keepTuning,
  keptTuning,
  listKeptTuning,
  removeKeptTuning,
  tuningFolder,
} from './kept-tuning.ts';
