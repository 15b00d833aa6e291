/** What the guide takes, tells and returns. */
import { namesOf } from '../../core/known-names.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { Gpu } from '../../gpu/device.ts';
import type { FitMode, FitModel, PictureFit } from '../../io/fit.ts';
import type { PictureSize, RgbImage } from '../../io/image.ts';
import type { DiffEditPipeline } from '../diffedit/pipeline.ts';
import type { PretrainedOptions } from '../diffedit/pretrained-options.ts';
import type { MaskOutput, RunArgs } from '../diffedit/types.ts';
import type { LoraInput } from '../diffusion/lora-adapters.ts';
import type { EmbeddingInput } from '../diffusion/textual-inversion-sources.ts';
import type { Phase, ProgressEvent } from '../runtime/progress.ts';

/** Folders of the three models. */
export interface GuideModels {
  /** Stable Diffusion 1.x or 2.x in diffusers' layout. */
  readonly diffusion: FolderSource;
  /** Flan-T5, or another T5 that answers in English. */
  readonly t5: FolderSource;
  /** A BLIP captioner. */
  readonly blip: FolderSource;
}

/** What the guide is doing: writing texts, or one of the pipeline's phases. */
export type GuidePhase = 'caption' | 'prompts' | Phase;

/** A phase that has begun, or a finished piece of it; 'caption' counts ids, at most until its end, and 'prompts' sentences. */
export interface GuideEvent extends Omit<ProgressEvent, 'phase'> {
  /** Which piece of work. */
  readonly phase: GuidePhase;
}

/** What the guide decides, or takes in a form of its own. */
export const DECIDED = [
  'image',
  'generator',
  'seed',
  'onProgress',
  'maskImage',
  'imageLatents',
  'returnLatents',
  'sourcePrompt',
  'targetPrompt',
  'sourcePromptEmbeds',
  'targetPromptEmbeds',
] as const;

type Decided = (typeof DECIDED)[number];

/** Arguments of `runGuide`; those of the three phases are `run`'s, with its defaults. */
export interface GuideArgs extends Omit<RunArgs, Decided>, GuideOwnArgs {}

/** Arguments of `runGuide` that the pipeline does not have, or has in another form. */
export interface GuideOwnArgs {
  /** Folders of the three models, opened one after the other. */
  readonly models: GuideModels;
  /** Default: a new one, freed at the end. */
  readonly gpu?: Gpu | undefined;
  /** As in `fromPretrained`, for all three models; default float32. */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Of the diffusion model's weights, such as 'fp16'. */
  readonly variant?: string | undefined;
  /** As in `fromPretrained` of DiffEditPipeline. Default false. */
  readonly mendQuirks?: boolean | undefined;
  /** As in `fromPretrained` of DiffEditPipeline: LoRA adapters that act, all together. Default none. */
  readonly loras?: readonly LoraInput[] | undefined;
  /** As in `fromPretrained` of DiffEditPipeline: embeddings of textual inversion. Default none. */
  readonly embeddings?: readonly EmbeddingInput[] | undefined;
  /** The picture, of any size. */
  readonly image: RgbImage;
  /** Working size in pixels; by default the diffusion model's own. 'own' is for `fit`, as in fitImage. */
  readonly size?: ((model: FitModel) => PictureSize | 'own') | undefined;
  /** How the picture comes to that size, as in fitImage; `pasteBack` follows it. By default it is stretched, as the guide does. */
  readonly fit?: FitMode | undefined;
  /** What the picture contains, such as 'bowl'. */
  readonly from: string;
  /** What it shall contain instead, such as 'basket'. */
  readonly to: string;
  /** Seeds the stream of the sentences, and a fresh one for each of the three phases; by default from entropy. */
  readonly seed?: number | undefined;
  /** What the caption begins with; null lets the model begin itself. Default 'a photograph of'. */
  readonly captionPrefix?: string | null | undefined;
  /** Sentences for each concept; default 16. */
  readonly numPrompts?: number | undefined;
  /** Keeps only one network on the device at a time. Default true, as in the guide. */
  readonly offload?: boolean | undefined;
  /**
   * Device bytes that the guide may take at any time. The diffusion model saves as `maxBytes` of `fromPretrained` says. Captioner and
   * language model save nothing: a guide in which one of them needs more is refused before anything works, and both leave the device
   * after their part, whatever `offload` says. Sentences are encoded in several turns where all at once would need more. Default:
   * what the device gives.
   */
  readonly maxBytes?: number | undefined;
  /** As in `fromPretrained` of DiffEditPipeline. Default false. */
  readonly allowTiles?: boolean | undefined;
  /** As in `fromPretrained` of DiffEditPipeline. Default false. */
  readonly streamWeights?: PretrainedOptions['streamWeights'];
  /** As in `fromPretrained`, for the diffusion model: the weights of the others go to the device once. Default false. */
  readonly hostMemory?: boolean | undefined;
  /** As `enableVaeSlicing` of DiffEditPipeline. Default false. */
  readonly vaeSlicing?: boolean | undefined;
  /** As `enableVaeTiling` of DiffEditPipeline: true, or sizes of the tiles. Default false. */
  readonly vaeTiling?: boolean | Parameters<DiffEditPipeline['enableVaeTiling']>[0];
  /** Called after each step, sentence and file. */
  readonly onProgress?: ((event: GuideEvent) => void) | undefined;
  /** Told of doubtful settings; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Their names. */
export const GUIDE_OWN: readonly string[] = namesOf<GuideOwnArgs>({
  ...{ models: 1, gpu: 1, dtype: 1, variant: 1, mendQuirks: 1, loras: 1, embeddings: 1, image: 1, size: 1, fit: 1 },
  ...{ from: 1, to: 1, seed: 1, captionPrefix: 1, numPrompts: 1, offload: 1, onProgress: 1, onWarning: 1 },
  ...{ maxBytes: 1, allowTiles: 1, streamWeights: 1, hostMemory: 1, vaeSlicing: 1, vaeTiling: 1 },
});

/** Everything that the guide made. */
export interface GuideOutput {
  /** The seed that was used; the same one makes the same pictures. */
  readonly seed: number;
  /** The picture at the working size. */
  readonly image: RgbImage;
  /** Where its pixels come from: all of the picture, unless `fit` said otherwise. */
  readonly fitted: PictureFit;
  /** What the captioner saw. */
  readonly caption: string;
  /** Sentences about what the picture contains. */
  readonly sourcePrompts: readonly string[];
  /** Sentences about what it shall contain. */
  readonly targetPrompts: readonly string[];
  /** The mean over the sentences about what the picture contains, [1, 77, D]. */
  readonly sourceEmbeds: NdArray;
  /** The mean over the sentences about what it shall contain, [1, 77, D]. */
  readonly targetEmbeds: NdArray;
  /** What changes, and the map that it was cut from. */
  readonly mask: MaskOutput;
  /** [1, T, 4, H, W] of the inversion, noisiest first. */
  readonly latents: NdArray;
  /** Edited pictures, one for each of `numImagesPerPrompt`, in the form that `outputType` names. */
  readonly images: RgbImage[] | NdArray;
  /** Milliseconds spent in each phase. */
  readonly timings: Readonly<Partial<Record<GuidePhase, number>>>;
  /** The most device bytes that the models held at once. */
  readonly peakBytes: number;
}
