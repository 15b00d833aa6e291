/** `pentimento/node`: files, pictures, downloads and Dawn's device. The pipeline itself comes from `pentimento`. */
export { type AdapterDescription, listAdapters, type NodeGpuOptions, requestGpu } from './device.ts';
export { directory, fileSource } from './files.ts';
export { type DownloadEvent, type FetchModelOptions, fetchModel } from './hub.ts';
export { decodeImage, encodeJpeg, encodePng, readImage, saveImage } from './images.ts';
