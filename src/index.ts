/**
 * pentimento: DiffEdit with Stable Diffusion 1.x and 2.x on WebGPU. This entry runs in pages and in Node; files, Dawn and
 * downloads are in `pentimento/node`, single kernels in `pentimento/kernels`.
 */

// Values, errors and the platform.
export type { DType } from './core/dtype.ts';
export {
  DeviceError,
  DTypeError,
  type ErrorDetails,
  type ErrorJson,
  type ErrorPart,
  InputError,
  LoadError,
  type MemoryShortage,
  NumericsError,
  PentimentoError,
  type PlainValue,
  ShaderError,
  ShapeError,
  WeightsError,
} from './core/errors.ts';
export { type Layout, type NdArray, ndarray } from './core/ndarray.ts';
export type {
  AbortSignalLike,
  BlobLike,
  FetchedLike,
  FetchLike,
  FileLike,
  OffscreenCanvasLike,
  PagePicture,
  Platform,
  UrlLike,
} from './core/platform.ts';
export type { Shape } from './core/shape.ts';
export type {
  ByteRange,
  ByteSource,
  FolderSource,
  StoredDType,
  StoredTensor,
  TensorRange,
  TensorSource,
} from './core/tensor-source.ts';
// Text generation.
export type {
  GenerateOptions,
  GenerationSettings,
  LogitsProcessor,
  PrefixAllowedTokens,
  SequenceBias,
  Sequences,
  StoppingCriterion,
  TokenEvent,
} from './generation/index.ts';
// The device.
export type { Caps, CapsOptions, HalfStorage, MatrixUnits } from './gpu/caps.ts';
export { type DryOptions, Gpu, type GpuOptions, type OptionalFeature } from './gpu/device.ts';
export { type DeviceLoss, DeviceLostError } from './gpu/device-lost.ts';
export type { DeviceChoice, DeviceTuning, DeviceTuningTable, FindTuning, PlainTuning } from './gpu/device-tuning.ts';
export { DEFAULT_CAPS, type DryBuffer, type DryObserver } from './gpu/dry-device.ts';
export { OutOfMemoryError } from './gpu/out-of-memory.ts';
export type { Access } from './gpu/pipelines.ts';
export type {
  PlainAdapterInfo,
  PlainBuffer,
  PlainDevice,
  PlainLimits,
  PlainObject,
  WebGpu,
  WebGpuAdapterInfo,
  WebGpuBindGroupLayout,
  WebGpuBuffer,
  WebGpuComputePass,
  WebGpuComputePipeline,
  WebGpuDevice,
  WebGpuLimits,
  WebGpuPowerPreference,
} from './gpu/webgpu-types.ts';
export type { AdapterFile } from './io/adapter-file.ts';
// Pictures, masks, files.
export { encodeImage, toCanvas } from './io/canvas.ts';
export { type CheckpointOptions, type CheckpointStem, openCheckpoint } from './io/checkpoint.ts';
export { tiffOrientation, xmpOrientation } from './io/exif.ts';
export {
  cutPadding,
  type FitMode,
  type FitModel,
  type FitOptions,
  type FittedImage,
  fitImage,
  fitMask,
  fitSize,
  type PictureFit,
  type PictureRegion,
} from './io/fit.ts';
export {
  applyOrientation,
  checkImage,
  type GreyImage,
  greyToRgb,
  isGrey,
  type PictureSize,
  type RgbImage,
  rgbaToRgb,
  rgbToGrey,
} from './io/image.ts';
export { fitLatentColours, type LatentColours, latentPictures } from './io/latent-colours.ts';
export { type ImageInput, type LoadImageOptions, loadImage } from './io/load-image.ts';
export {
  blurMap,
  dilate,
  dilateMap,
  gaussianBlur,
  type MaskInput,
  maskToImage,
  maskToImages,
  type NumericArray,
  preprocessMask,
  type SheetOptions,
  sideBySide,
} from './io/mask.ts';
export { pasteBack } from './io/paste-back.ts';
export { type PictureLimits, sniffImage } from './io/picture-file.ts';
export { arrayToImages, denormalize, type OutputOf, type OutputType, postprocessImage } from './io/postprocess.ts';
export {
  imagesToArray,
  nchwToNhwc,
  nhwcToNchw,
  type Picture,
  type PictureInput,
  type PreprocessOptions,
  preprocessImage,
  toNchw,
} from './io/preprocess.ts';
export { type Resample, resize, resizeNearest } from './io/resize.ts';
export { openSafetensors, type SafetensorsSource, type WritableTensor, writeSafetensors } from './io/safetensors.ts';
export {
  blobSource,
  type FileContent,
  fileListFolder,
  mapFolder,
  memorySource,
  type RangeReader,
  readerSource,
  readText,
} from './io/sources.ts';
export { type UrlFolderOptions, type UrlOptions, urlFolder, urlSource } from './io/url-source.ts';
export { openWeightFile } from './io/weight-file.ts';
// Networks.
export {
  BLIP_BASE,
  type BlipActivation,
  type BlipConfig,
  BlipModel,
  type BlipTextConfig,
  BlipTextDecoder,
  type BlipTextMask,
  type BlipTextStep,
  type BlipVisionConfig,
  BlipVisionModel,
  type Grid,
  interpolatePositions,
  parseBlipConfig,
  patchGrid,
} from './models/blip/index.ts';
export {
  AutoencoderKL,
  type ClipTextConfig,
  ClipTextModel,
  decoderTiling,
  encoderTiling,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  SD21_CLIP_TEXT,
  SD21_UNET,
  SD21_VAE,
  type StableDiffusionActivation,
  type Tile,
  type TileSizes,
  type Tiling,
  tileSizes,
  timestepFeatures,
  UNet2DConditionModel,
  type UNetConfig,
  type UNetLevel,
  type VaeConfig,
  vaeScaleFactor,
} from './models/stable-diffusion/index.ts';
export type { T5Activation, T5Config } from './models/t5/index.ts';
export type { KeyValueCache, KeyValues } from './nn/attention.ts';
export { LoadedWeights, type LoadOptions } from './nn/load.ts';
export { type Part as WeightPart, Weights } from './nn/weights.ts';
// Pipelines.
export {
  type Brought,
  type EditJob,
  type EditManyFailure,
  type EditManyOptions,
  type EditManyResult,
  type EditManySuccess,
  editMany,
} from './pipeline/batch/edit-many.ts';
export type { EditedPictures, Editor, PictureArgs, PictureEdit } from './pipeline/batch/picture-edit.ts';
export type { PictureHandling } from './pipeline/batch/plain-edit.ts';
export { DiffEditPipeline, type FromSingleFileOptions, type PretrainedOptions } from './pipeline/diffedit/pipeline.ts';
export type { Recommended, RecommendedName, RecommendedSettings } from './pipeline/diffedit/recommended.ts';
export type { ReconstructArgs, Reconstruction } from './pipeline/diffedit/reconstruct.ts';
export type { MaskMode } from './pipeline/diffedit/soft-mask.ts';
export type {
  AsPictures,
  CommonArgs,
  EditArgs,
  EditOutput,
  EncodePromptOptions,
  GenerateMaskArgs,
  InversionOutput,
  InvertArgs,
  MaskOutput,
  PasteBack,
  PromptEmbeddings,
  RunArgs,
  RunOutput,
} from './pipeline/diffedit/types.ts';
export type { CallPlanOptions } from './pipeline/diffusion/call-planner.ts';
export { embedPrompts, type PromptEncoder } from './pipeline/diffusion/embed-prompts.ts';
export type { Generators } from './pipeline/diffusion/generators.ts';
export type { LoraInput, LoraOptions } from './pipeline/diffusion/lora-adapters.ts';
export type { LoraSource } from './pipeline/diffusion/lora-file.ts';
export type { SavingsPlan } from './pipeline/diffusion/planned-call.ts';
export type { Prompt, PromptArgs } from './pipeline/diffusion/prompt-arguments.ts';
export type { StepCallback, StepEvent } from './pipeline/diffusion/sampling-loop.ts';
export { openSingleFile } from './pipeline/diffusion/single-file.ts';
export type { SingleFile, SingleFileOptions, SingleFileSource } from './pipeline/diffusion/single-file-options.ts';
export { type PipelineClass, StableDiffusionModel } from './pipeline/diffusion/stable-diffusion-model.ts';
export type { StableDiffusionOptions } from './pipeline/diffusion/stable-diffusion-options.ts';
export type {
  EmbeddingInput,
  EmbeddingSource,
  TextualInversionOptions,
} from './pipeline/diffusion/textual-inversion-sources.ts';
export {
  caption,
  type GeneratePromptsOptions,
  generatePrompts,
  type PictureToText,
  promptRequest,
  type TextToText,
  type Written,
} from './pipeline/guide/captions-and-prompts.ts';
export { runGuide } from './pipeline/guide/guide.ts';
export type {
  GuideArgs,
  GuideEvent,
  GuideModels,
  GuideOutput,
  GuideOwnArgs,
  GuidePhase,
} from './pipeline/guide/guide-arguments.ts';
export { GenerationPipeline } from './pipeline/image-generation/generation-pipeline.ts';
export { ImageToImagePipeline } from './pipeline/image-generation/image-to-image.ts';
export { InpaintPipeline } from './pipeline/image-generation/inpaint.ts';
export type {
  GenerationFileOptions,
  GenerationOptions,
  PipelineOptions,
} from './pipeline/image-generation/pretrained-options.ts';
export type { PipelineScheduler } from './pipeline/image-generation/schedulers.ts';
export { TextToImagePipeline } from './pipeline/image-generation/text-to-image.ts';
export type {
  AsImages,
  GenerationArgs,
  GenerationOutput,
  ImageToImageArgs,
  InpaintArgs,
  StepChanges,
  StepEndCallback,
  TextToImageArgs,
} from './pipeline/image-generation/types.ts';
export type { DeviceLossEvent, DeviceRecoveryOptions } from './pipeline/runtime/device-recovery.ts';
export type { CallPlan, PhasePlan } from './pipeline/runtime/memory-plan.ts';
export type { DeviceModelOptions } from './pipeline/runtime/model-options.ts';
export { PretrainedModel } from './pipeline/runtime/pretrained-model.ts';
export type { CallOptions, Phase, ProgressEvent } from './pipeline/runtime/progress.ts';
export {
  BlipForConditionalGeneration,
  type Caption,
  type CaptionerOptions,
  type CaptionInput,
  type CaptionOptions,
  type CaptionOutput,
} from './pipeline/text/blip.ts';
export {
  BLIP_PROCESSOR,
  type BlipProcessorConfig,
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
export { DiffusionScheduler, type ScheduledStep, type ScheduleOptions } from './schedulers/base.ts';
export {
  type BetaOptions,
  type BetaSchedule,
  cumulativeAlphas,
  makeBetas,
  rescaleZeroSnr,
} from './schedulers/betas.ts';
// Schedulers, as in `pentimento/schedulers`, which has samplers beside DDIM too: from their own files, so that nobody loads those here.
export type { AnyScheduler } from './schedulers/by-class-name.ts';
export {
  type DDIMFields,
  type DDIMInverseFields,
  DIFFUSERS_VERSION,
  type FieldsInput,
  type FromConfigOptions,
  type PredictionType,
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
  type StoredConfig,
} from './schedulers/config.ts';
export { DDIMScheduler, type StepOptions } from './schedulers/ddim.ts';
export { DDIMInverseScheduler } from './schedulers/ddim-inverse.ts';
export { Generator, type GeneratorState, randnBatch } from './schedulers/generator.ts';
export { type MaskOptions, maskFromMap } from './schedulers/mask.ts';
export { NoiseTable } from './schedulers/noise-table.ts';
export type { NoiseMix, NoiseSource } from './schedulers/noising.ts';
export {
  autoCorrelationGradient,
  type Draw,
  klGradient,
  type RegulariseOptions,
  regularise,
} from './schedulers/regularise.ts';
export type { TimestepSpacing } from './schedulers/timesteps.ts';
export {
  type ApplyOptions,
  applyStep,
  type Mix,
  type NoisyMix,
  type StepCoefficients,
  type StepResult,
  type Threshold,
} from './schedulers/update.ts';
// Tensors.
export { DeviceTensor } from './tensor/device-tensor.ts';
export { Graph, type GraphOptions } from './tensor/graph.ts';
export type { Layout as RowLayout } from './tensor/layout.ts';
export { Parameter, type ParameterMemory } from './tensor/parameter.ts';
export { Plan, type PlanOptions } from './tensor/plan.ts';
export type { Recording, Store as GraphStore } from './tensor/recording.ts';
export type { StreamLimits } from './tensor/streamed-weights.ts';
export {
  type Constant as GraphConstant,
  type Lowering,
  type Node as GraphNode,
  type Placed,
  type Recorder,
  Tensor,
  type TensorMethods,
  type Value as TensorValue,
} from './tensor/tensor.ts';
export type { Piece as WeightPiece, Request as WeightRequest } from './tensor/upload.ts';
// Tokenizers.
export {
  BertTokenizer,
  type ClipMode,
  ClipTokenizer,
  type ClipTokenizerOptions,
  type DecodeOptions,
  type EncodeOptions,
  type Encoding,
  loadTokenizer,
  type Padding,
  type T5Mode,
  T5Tokenizer,
  type T5TokenizerOptions,
  type TextTokenizer,
} from './tokenizers/index.ts';
