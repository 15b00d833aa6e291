/** What every pipeline on a Stable Diffusion model has on the page's side of a worker. */
import { checkMember } from '../core/kinds.ts';
import type { NdArray } from '../core/ndarray.ts';
import type { Caps } from '../gpu/caps.ts';
import type { PictureSize } from '../io/image.ts';
import { fullAddress } from '../io/sources.ts';
import type { TileSizes } from '../models/stable-diffusion/index.ts';
import type { CommonArgs, EncodePromptOptions, PromptEmbeddings } from '../pipeline/diffusion/encode-prompt-types.ts';
import type { LoraOptions } from '../pipeline/diffusion/lora-adapters.ts';
import type { LoraSource } from '../pipeline/diffusion/lora-file.ts';
import type { Prompt } from '../pipeline/diffusion/prompt-arguments.ts';
import type { SingleFileSource } from '../pipeline/diffusion/single-file-options.ts';
import type { EmbeddingSource, TextualInversionOptions } from '../pipeline/diffusion/textual-inversion-sources.ts';
import type { CallOptions } from '../pipeline/runtime/progress.ts';
import { type Opened, WorkerModel } from './worker-model.ts';

/** What the page knows of any of them without asking. */
export interface StableDiffusionFacts {
  /** What its device grants. */
  readonly caps: Caps;
  /** Of activations, and, for float16, of weights. */
  readonly dtype: 'float32' | 'float16';
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  /** scheduler_config.json of what denoises, for schedulerFromConfig. */
  readonly scheduler: Readonly<Record<string, unknown>>;
}

/** @internal Opens another pipeline on a model that is open. */
export type OpenFace = (kind: string, options: object | undefined) => Promise<Opened<StableDiffusionFacts>>;

/** A pipeline's class in a worker, such as WorkerInpaintPipeline: it can be had of a model that is open there. */
export interface WorkerPipelineClass<P, O> {
  /** Called by `as`, with what opens it. */
  over(open: object, options?: O): Promise<P>;
}

/**
 * @internal Opens a pipeline of the worker's.
 * @throws InputError where a pipeline in the page was asked for one
 */
export function faceOf(open: object, kind: string, options: object | undefined): ReturnType<OpenFace> {
  checkMember('as', open, 'call', 'function', 'a pipeline in a worker');
  return (open as OpenFace)(kind, options);
}

/** @internal A single file as a worker finds it: addresses relative to the page would lead elsewhere there. */
export function seenFromWorker(source: SingleFileSource): SingleFileSource {
  return typeof source === 'string' || source instanceof URL ? fullAddress(String(source)) : source;
}

/** A pipeline on a model of Stable Diffusion that lives in a worker. */
export abstract class WorkerStableDiffusion extends WorkerModel {
  /** Pixels behind one latent side. */
  readonly vaeScaleFactor: number;
  /** The size in pixels that the model was trained on. */
  readonly defaultSize: PictureSize;
  /** scheduler_config.json of what denoises, for schedulerFromConfig. */
  readonly schedulerConfig: Readonly<Record<string, unknown>>;

  /** @internal */
  constructor(opened: Opened<StableDiffusionFacts>) {
    super(opened);
    const { vaeScaleFactor, defaultSize, scheduler } = opened.facts;
    [this.vaeScaleFactor, this.defaultSize, this.schedulerConfig] = [vaeScaleFactor, defaultSize, scheduler];
  }

  /**
   * Another pipeline on the same model in the same worker: weights, adapters and switches are those of both, one of them works at a time,
   * and `dispose` of either ends both.
   * @throws as `as` of the pipeline in a page
   */
  async as<P, O>(kind: WorkerPipelineClass<P, O>, options?: O): Promise<P> {
    checkMember('as', kind, 'over', 'function', 'a class such as WorkerTextToImagePipeline or WorkerInpaintPipeline');
    const open: OpenFace = (name, given) => this.face(name, given ?? {});
    return kind.over(open, options);
  }

  /** Embeddings of prompts. @throws as DiffEditPipeline.encodePrompt */
  encodePrompt(prompt: Prompt, options: EncodePromptOptions = {}): Promise<PromptEmbeddings> {
    return this.call('encodePrompt', [prompt, options]);
  }

  /** One embedding for many sentences, [1, L, D]. */
  embedPrompts(sentences: readonly string[], options: CommonArgs = {}): Promise<NdArray> {
    return this.call('embedPrompts', [sentences, options]);
  }

  /** Loads a LoRA and makes it the one that acts. @returns its name. @throws as DiffEditPipeline.loadLoraWeights */
  loadLoraWeights(source: LoraSource, options: LoraOptions & CallOptions = {}): Promise<string> {
    return this.call('loadLoraWeights', [source, options], true);
  }

  /** Chooses which adapters act. @throws as DiffEditPipeline.setAdapters */
  setAdapters(names: string | readonly string[], weights?: number | readonly number[]): Promise<void> {
    return this.call('setAdapters', [names, weights]);
  }

  /** Names of the adapters that act. */
  getActiveAdapters(): Promise<string[]> {
    return this.call('getActiveAdapters', []);
  }

  /** Names of all adapters, by the network that they change. */
  getListAdapters(): Promise<{
    /** Of the denoiser. */
    readonly unet: string[];
    /** Of the text encoder. */
    readonly textEncoder: string[];
  }> {
    return this.call('getListAdapters', []);
  }

  /** Forgets adapters and closes their files. @throws as DiffEditPipeline.deleteAdapters */
  deleteAdapters(names: string | readonly string[]): Promise<void> {
    return this.call('deleteAdapters', [names]);
  }

  /** Forgets all adapters. */
  unloadLoraWeights(): Promise<void> {
    return this.call('unloadLoraWeights', []);
  }

  /** Teaches the prompts words. @throws as DiffEditPipeline.loadTextualInversion */
  loadTextualInversion(
    source: EmbeddingSource | readonly EmbeddingSource[],
    options: TextualInversionOptions = {},
  ): Promise<readonly string[]> {
    return this.call('loadTextualInversion', [source, options]);
  }

  /** The words that are loaded. */
  getTextualInversions(): Promise<readonly string[]> {
    return this.call('getTextualInversions', []);
  }

  /** Takes such words away again. @param tokens all by default */
  unloadTextualInversion(tokens?: string | readonly string[]): Promise<void> {
    return this.call('unloadTextualInversion', [tokens]);
  }

  /** Decodes pictures one at a time: less memory, the same numbers. */
  enableVaeSlicing(): Promise<void> {
    return this.call('enableVaeSlicing', []);
  }

  /** Decodes pictures of a batch together again. */
  disableVaeSlicing(): Promise<void> {
    return this.call('disableVaeSlicing', []);
  }

  /** Encodes and decodes larger pictures by overlapping tiles. @throws as DiffEditPipeline.enableVaeTiling */
  enableVaeTiling(sizes: Partial<TileSizes> = {}): Promise<void> {
    return this.call('enableVaeTiling', [sizes]);
  }

  /** Encodes and decodes pictures whole again. */
  disableVaeTiling(): Promise<void> {
    return this.call('disableVaeTiling', []);
  }
}
