/**
 * `pentimento/worker`: models in a worker, with the faces that they have in a page. The page's thread stays free, and so does its memory;
 * bundlers find the worker's script by themselves. @module
 */
export type { AbortSignalLike } from '../core/platform.ts';
export type { ByteSource, FolderSource } from '../core/tensor-source.ts';
export type { Caps } from '../gpu/caps.ts';
export type { GpuOptions, OptionalFeature } from '../gpu/device.ts';
export type { DeviceChoice, DeviceTuning, DeviceTuningTable, FindTuning, PlainTuning } from '../gpu/device-tuning.ts';
export { errorFromJson } from './error-data.ts';
export type { PortLike } from './peer.ts';
export type { StartedWorker } from './script-port.ts';
export { startWorker } from './start.ts';
export {
  createWorkerCaptioner,
  createWorkerLanguageModel,
  WorkerCaptioner,
  WorkerLanguageModel,
} from './text-models.ts';
export {
  WorkerGeneration,
  WorkerImageToImagePipeline,
  WorkerInpaintPipeline,
  WorkerTextToImagePipeline,
} from './worker-generation.ts';
export type { InWorker, WorkerGpuOptions, WorkerOptions } from './worker-model.ts';
export { WorkerModel } from './worker-model.ts';
export {
  createWorkerPipeline,
  createWorkerPipelineFromSingleFile,
  WorkerPipeline,
  type WorkerPipelineFacts,
} from './worker-pipeline.ts';
export {
  type StableDiffusionFacts,
  type WorkerPipelineClass,
  WorkerStableDiffusion,
} from './worker-stable-diffusion.ts';
