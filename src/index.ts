/**
 * pentimento: DiffEdit with Stable Diffusion 1.x and 2.x on WebGPU. This entry runs in pages and in Node; files, Dawn and
 * downloads are in `pentimento/node`, single kernels in `pentimento/kernels`.
 */

export type { DType } from './core/dtype.ts';
export * from './core/errors.ts';
export { type Layout, type NdArray, ndarray } from './core/ndarray.ts';
export type { ByteSource, FolderSource, StoredTensor, TensorSource } from './core/tensor-source.ts';
export type { Caps, CapsOptions } from './gpu/caps.ts';
export { Gpu, type GpuOptions } from './gpu/device.ts';
export { encodeImage, type ImageInput, loadImage, toCanvas } from './io/image-page.ts';
export * from './io/index.ts';
export * from './models/blip/index.ts';
export * from './models/stable-diffusion/index.ts';
export { LoadedWeights, type LoadOptions } from './nn/load.ts';
export { Weights } from './nn/weights.ts';
export { DiffEditPipeline, type PretrainedOptions } from './pipeline/diffedit/pipeline.ts';
export * from './pipeline/diffedit/types.ts';
export { embedPrompts, type PromptEncoder } from './pipeline/diffusion/embed-prompts.ts';
export type { Generators } from './pipeline/diffusion/generators.ts';
export type { Prompt } from './pipeline/diffusion/prompt-arguments.ts';
export type { StepCallback, StepEvent } from './pipeline/diffusion/sampling-loop.ts';
export { runGuide } from './pipeline/guide/guide.ts';
export type {
  GuideArgs,
  GuideEvent,
  GuideModels,
  GuideOutput,
  GuideOwnArgs,
  GuidePhase,
} from './pipeline/guide/guide-arguments.ts';
export {
  caption,
  type GeneratePromptsOptions,
  generatePrompts,
  type PictureToText,
  promptRequest,
  type TextToText,
} from './pipeline/guide/helpers.ts';
export type { DeviceModelOptions } from './pipeline/runtime/device-model.ts';
export { PretrainedModel } from './pipeline/runtime/pretrained-model.ts';
export type { CallOptions, Phase, ProgressEvent } from './pipeline/runtime/progress.ts';
export {
  BlipForConditionalGeneration,
  type CaptionerOptions,
  type CaptionInput,
  type CaptionOptions,
  type CaptionOutput,
} from './pipeline/text/blip.ts';
export {
  BLIP_PROCESSOR,
  type BlipProcessorConfig,
  type PictureSize,
  parseBlipProcessor,
  processPictures,
} from './pipeline/text/blip-processor.ts';
export {
  T5ForConditionalGeneration,
  type T5GenerateOptions,
  type T5Input,
  type T5Options,
  type T5Output,
} from './pipeline/text/t5.ts';
export * from './schedulers/index.ts';
export { DeviceTensor } from './tensor/device-tensor.ts';
export { Graph } from './tensor/graph.ts';
export { Plan, type PlanOptions } from './tensor/plan.ts';
export { Tensor } from './tensor/tensor.ts';
export * from './tokenizers/index.ts';
