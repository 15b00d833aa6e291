/** Files, folders and pictures: everything that also runs in a page. Node's part is src/node. */
export type { Layout, NdArray } from '../core/ndarray.ts';
export { type CheckpointOptions, type CheckpointStem, candidates, openCheckpoint } from './checkpoint.ts';
export { tiffOrientation, xmpOrientation } from './exif.ts';
export {
  applyOrientation,
  checkImage,
  type GreyImage,
  greyToRgb,
  isGrey,
  notAnImage,
  type RgbImage,
  rgbaToRgb,
  rgbToGrey,
  sniffImage,
} from './image.ts';
export {
  blurMap,
  dilate,
  dilateMap,
  gaussianBlur,
  type MaskInput,
  maskToImage,
  maskToImages,
  type NumericArray,
  pasteBack,
  preprocessMask,
  type SheetOptions,
  sideBySide,
} from './mask.ts';
export { arrayToImages, denormalize, type OutputOf, type OutputType, postprocessImage } from './postprocess.ts';
export {
  concatenate,
  imagesToArray,
  nchwToNhwc,
  nhwcToNchw,
  type Picture,
  type PictureInput,
  type PreprocessOptions,
  preprocessImage,
  toNchw,
} from './preprocess.ts';
export { type Resample, resize, resizeNearest } from './resize.ts';
export { openSafetensors, type SafetensorsSource, type WritableTensor, writeSafetensors } from './safetensors.ts';
export {
  blobSource,
  type FileContent,
  fileListFolder,
  mapFolder,
  memorySource,
  type RangeReader,
  readerSource,
  readText,
} from './sources.ts';
export { openTorchZip } from './torch-zip.ts';
export { type UrlOptions, urlFolder, urlSource } from './url-source.ts';
