/**
 * Image to image: a picture brought to a noise level and denoised under a prompt.
 * Meng et al. 2022, SDEdit, https://arxiv.org/abs/2108.01073. Reference: diffusers 0.34.0, StableDiffusionImg2ImgPipeline; docs/parity-pipelines.md lists what differs.
 */
import type { FolderSource } from '../../core/tensor-source.ts';
import type { RgbImage } from '../../io/image.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import { drain } from '../runtime/drain.ts';
import type { GenerationModel } from './generation-model.ts';
import { GenerationPipeline, loadGeneration } from './generation-pipeline.ts';
import type { GenerationFileOptions, GenerationOptions, PipelineOptions } from './pretrained-options.ts';
import type { AsImages, GenerationOutput, ImageToImageArgs } from './types.ts';

/** Makes pictures of pictures with Stable Diffusion 1.x and 2.x. One call at a time; several pipelines may share a model. */
export class ImageToImagePipeline extends GenerationPipeline<ImageToImageArgs> {
  readonly #model: GenerationModel;

  private constructor(model: GenerationModel) {
    super(model);
    this.#model = model;
  }

  /**
   * Reads a model folder in diffusers' layout and, unless offloading is asked for, brings its weights to the device.
   * @param source a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @throws InputError for a folder that is no Stable Diffusion 1.x or 2.x, or names a sampler that is not built; WeightsError listing every
   * missing and misshapen tensor; DeviceError without a device or memory; the signal's reason
   * @see diffusers StableDiffusionImg2ImgPipeline.from_pretrained
   */
  static async fromPretrained(source: FolderSource, options: GenerationOptions = {}): Promise<ImageToImagePipeline> {
    const { modelOfFolder } = await loadGeneration();
    return new ImageToImagePipeline(await modelOfFolder('image', source, options));
  }

  /**
   * Reads a checkpoint that is one file (.safetensors or .ckpt in LDM's names), as DiffEditPipeline.fromSingleFile does.
   * @throws InputError for another kind of file, named, or without a vocabulary; else as fromPretrained
   * @see diffusers FromSingleFileMixin.from_single_file
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: GenerationFileOptions = {},
  ): Promise<ImageToImagePipeline> {
    const { modelOfFile } = await loadGeneration();
    return new ImageToImagePipeline(await modelOfFile('image', source, options));
  }

  /** What `as(ImageToImagePipeline)` of another pipeline makes. @throws as `as` */
  static async over(model: object, scheduler: object, options?: PipelineOptions): Promise<ImageToImagePipeline> {
    const { modelOver } = await loadGeneration();
    return new ImageToImagePipeline(modelOver('image', model, scheduler, options));
  }

  /**
   * Makes pictures of pictures.
   * @throws InputError or ShapeError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionImg2ImgPipeline.__call__
   */
  generate(args: ImageToImageArgs & AsImages): Promise<GenerationOutput<RgbImage[]>>;
  generate(args: ImageToImageArgs): Promise<GenerationOutput>;
  generate(args: ImageToImageArgs): Promise<GenerationOutput> {
    return drain(this.generateSteps(args));
  }

  /** `generate` step by step: yields after each, returns its result. Leaving the loop early frees everything. */
  generateSteps(args: ImageToImageArgs): AsyncGenerator<StepEvent, GenerationOutput> {
    return this.#model.steps(args);
  }
}
