/** One edit of one scene by the whole pipeline, as users run it, and everything that is measured of it. */
import type { NdArray } from '../../src/core/ndarray.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { GreyImage, RgbImage } from '../../src/io/image.ts';
import { maskToImage } from '../../src/io/mask.ts';
import { directory } from '../../src/node/index.ts';
import { pasteAll } from '../../src/pipeline/diffedit/output.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { phaseArguments } from '../../src/pipeline/diffedit/run-arguments.ts';
import { shownShare } from '../../src/pipeline/diffedit/soft-mask.ts';
import type { RunArgs, RunOutput } from '../../src/pipeline/diffedit/types.ts';
import { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import { captionFits, type Measured, maskIou, psnrWhere } from './measures.ts';
import { Naturalness } from './naturalness.ts';
import type { Scene } from './scenes.ts';
import type { Variant } from './variants.ts';

/** Of mask, inversion and edit alike. */
const SEED = 0;

/** What one edit gave. */
export interface EditedScene extends Measured {
  readonly caption: string;
  readonly picture: RgbImage;
  /** Of the picture's size. */
  readonly mask: GreyImage;
}

/** A mask, and how long it took. */
interface FoundMask {
  readonly mask: NdArray;
  readonly ms: number;
}

/** The models that edit and judge. */
export class Judges {
  readonly #gpu: Gpu;
  readonly #folder: string;
  readonly #dtype: 'float32' | 'float16';
  readonly #blip: BlipForConditionalGeneration;
  readonly #naturalness: Naturalness;
  /** Of scenes and settings of the mask: variants that agree in these share it, as the same run would find it again. */
  readonly #masks = new Map<string, FoundMask>();
  /** Exact and mended, each opened when a variant asks for it. */
  readonly #pipelines = new Map<boolean, DiffEditPipeline>();

  private constructor(
    gpu: Gpu,
    models: { folder: string; dtype: 'float32' | 'float16' },
    blip: BlipForConditionalGeneration,
    judge: { naturalness: Naturalness; exact: DiffEditPipeline },
  ) {
    this.#gpu = gpu;
    this.#folder = models.folder;
    this.#dtype = models.dtype;
    this.#blip = blip;
    this.#naturalness = judge.naturalness;
    this.#pipelines.set(false, judge.exact);
  }

  /**
   * @param family a folder with stable-diffusion and blip
   * @param dtype of the edits; judged is in float32
   */
  static async open(gpu: Gpu, family: string, dtype: 'float32' | 'float16'): Promise<Judges> {
    const folder = `${family}/stable-diffusion`;
    const exact = await DiffEditPipeline.fromPretrained(await directory(folder), { gpu, dtype });
    const naturalness = await Naturalness.open(gpu, await directory(`${folder}/unet`), exact.scheduler);
    const blip = await BlipForConditionalGeneration.fromPretrained(await directory(`${family}/blip`), { gpu });
    return new Judges(gpu, { folder, dtype }, blip, { naturalness, exact });
  }

  /** Edits a scene and measures the result. The first edits of a process compile shaders, which counts in their time. */
  async edit(scene: Scene, variant: Variant): Promise<EditedScene> {
    const pipeline = await this.#pipeline(variant.mendQuirks);
    const { source, sourcePrompt, targetPrompt, truth, region } = scene;
    const args = { ...variant.args, image: source, sourcePrompt, targetPrompt, seed: SEED };
    const { image: _, ...settings } = phaseArguments('generateMask', args).args;
    const key = JSON.stringify([scene.id, variant.mendQuirks, settings]);
    const known = this.#masks.get(key);
    const { output, latents } = await edited(pipeline, known ? { ...args, maskImage: known.mask } : args);
    const mask = known?.mask ?? output.mask?.mask;
    const [picture] = output.images as RgbImage[];
    if (!picture || !mask) throw new Error('an edit without picture or mask');
    const maskMs = known?.ms ?? output.timings.mask ?? 0;
    this.#masks.set(key, { mask, ms: maskMs });
    const { promptEmbeds } = await pipeline.encodePrompt(targetPrompt);
    const { text: caption } = await this.#blip.caption(picture, undefined, { maxNewTokens: 40 });
    const [h = 0, w = 0] = mask.shape.slice(-2);
    const factor = pipeline.vaeScaleFactor;
    const changed = { data: mask.data, shape: [1, 1, h, w] };
    const { maskMode, maskExponent = 1 } = variant.args;
    const shown = maskMode === 'soft' ? shownShare(changed, maskExponent) : changed; // as run() itself pastes
    const [pasted = picture] = pasteAll([picture], shown, { image: source }, { factor, order: 'tiled' });
    return {
      ok: Number(captionFits(caption, scene)),
      nat: await this.#naturalness.errorOf(latents, promptEmbeds),
      ...(region && truth
        ? {
            bg: psnrWhere(picture, source, region, 0),
            pasted: psnrWhere(pasted, source, region, 0),
            inside: psnrWhere(picture, truth, region, 1),
            iou: maskIou(mask, region, source.width),
          }
        : {}),
      seconds: Object.values({ ...output.timings, mask: maskMs }).reduce((sum, ms) => sum + ms, 0) / 1000,
      caption,
      picture,
      mask: maskToImage(mask, factor),
    };
  }

  /** Frees all of them. */
  dispose(): void {
    for (const pipeline of this.#pipelines.values()) pipeline.dispose();
    this.#blip.dispose();
    this.#naturalness.dispose();
  }

  async #pipeline(mendQuirks: boolean): Promise<DiffEditPipeline> {
    const known = this.#pipelines.get(mendQuirks);
    if (known) return known;
    const options = { gpu: this.#gpu, dtype: this.#dtype, mendQuirks };
    const opened = await DiffEditPipeline.fromPretrained(await directory(this.#folder), options);
    this.#pipelines.set(mendQuirks, opened);
    return opened;
  }
}

/** Result of a run, and the latents that its picture was decoded from. */
async function edited(pipeline: DiffEditPipeline, args: RunArgs): Promise<{ output: RunOutput; latents: NdArray }> {
  const steps = pipeline.runSteps(args);
  let latents: NdArray | undefined;
  for (;;) {
    const { done, value } = await steps.next();
    if (done) {
      if (!latents) throw new Error('an edit without steps');
      return { output: value, latents };
    }
    if (value.phase === 'edit' && value.step === value.of - 1) latents = await value.latents();
  }
}
