/**
 * Text to image: pictures of noise alone.
 * Rombach et al. 2022, https://arxiv.org/abs/2112.10752. Reference: diffusers 0.34.0, StableDiffusionPipeline; docs/parity-pipelines.md lists what differs.
 */
import type { FolderSource } from '../../core/tensor-source.ts';
import type { RgbImage } from '../../io/image.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import { drain } from '../runtime/drain.ts';
import type { GenerationModel } from './generation-model.ts';
import { GenerationPipeline, loadGeneration } from './generation-pipeline.ts';
import type { GenerationFileOptions, GenerationOptions, PipelineOptions } from './pretrained-options.ts';
import type { AsImages, GenerationOutput, TextToImageArgs } from './types.ts';

/** Makes pictures of texts with Stable Diffusion 1.x and 2.x. One call at a time; several pipelines may share a model. */
export class TextToImagePipeline extends GenerationPipeline<TextToImageArgs> {
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
   * @see diffusers StableDiffusionPipeline.from_pretrained
   */
  static async fromPretrained(source: FolderSource, options: GenerationOptions = {}): Promise<TextToImagePipeline> {
    const { modelOfFolder } = await loadGeneration();
    return new TextToImagePipeline(await modelOfFolder('text', source, options));
  }

  /**
   * Reads a checkpoint that is one file (.safetensors or .ckpt in LDM's names), as DiffEditPipeline.fromSingleFile does.
   * @throws InputError for another kind of file, named, or without a vocabulary; else as fromPretrained
   * @see diffusers FromSingleFileMixin.from_single_file
   */
  static async fromSingleFile(
    source: SingleFileSource,
    options: GenerationFileOptions = {},
  ): Promise<TextToImagePipeline> {
    const { modelOfFile } = await loadGeneration();
    return new TextToImagePipeline(await modelOfFile('text', source, options));
  }

  /** What `as(TextToImagePipeline)` of another pipeline makes. @throws as `as` */
  static async over(model: object, scheduler: object, options?: PipelineOptions): Promise<TextToImagePipeline> {
    const { modelOver } = await loadGeneration();
    return new TextToImagePipeline(modelOver('text', model, scheduler, options));
  }

  /**
   * Makes pictures of texts.
   * @throws InputError or ShapeError for arguments that make no sense; DeviceError while another call runs; the signal's reason
   * @see diffusers StableDiffusionPipeline.__call__
   */
  generate(args: TextToImageArgs & AsImages): Promise<GenerationOutput<RgbImage[]>>;
  generate(args: TextToImageArgs): Promise<GenerationOutput>;
  generate(args: TextToImageArgs): Promise<GenerationOutput> {
    return drain(this.generateSteps(args));
  }

  /** `generate` step by step: yields after each, returns its result. Leaving the loop early frees everything. */
  generateSteps(args: TextToImageArgs): AsyncGenerator<StepEvent, GenerationOutput> {
    return this.#model.steps(args);
  }
}
