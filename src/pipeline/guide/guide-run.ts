/**
 * The whole of the published DiffEdit guide in one call: caption the picture, write sentences about two concepts, average
 * their embeddings, find the mask, invert, edit. Its pieces are in captions-and-prompts.ts; the three last are DiffEditPipeline's.
 * guide.ts loads this when the guide is run.
 */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { PaceMeter } from '../../core/pace.ts';
import { Gpu } from '../../gpu/device.ts';
import { fitImage, type PictureFit } from '../../io/fit.ts';
import type { PictureSize, RgbImage } from '../../io/image.ts';
import { checkFitOf } from '../../io/paste-back.ts';
import { resize } from '../../io/resize.ts';
import { Generator } from '../../schedulers/generator.ts';
import { argumentsIn } from '../diffedit/arguments.ts';
import { DiffEditPipeline } from '../diffedit/pipeline.ts';
import type { SettledRun } from '../diffedit/run-request.ts';
import { embedPrompts } from '../diffusion/embed-prompts.ts';
import { type HeldModel, HeldModels } from '../runtime/held-models.ts';
import type { Phase, ProgressEvent } from '../runtime/progress.ts';
import { BlipForConditionalGeneration } from '../text/blip.ts';
import { T5ForConditionalGeneration } from '../text/t5.ts';
import { caption, generatePrompts, SENTENCES } from './captions-and-prompts.ts';
import type { GuideArgs, GuideEvent, GuideOutput, GuidePhase } from './guide-arguments.ts';
import { checkGuideBudget, encoderWithinBudget } from './guide-budget.ts';
import { checkGuideArgs, checkGuidePlan } from './guide-checks.ts';

/** `runGuide`. */
export async function guideRun(args: GuideArgs): Promise<GuideOutput> {
  const settings = checkGuideArgs(args);
  const gpu = args.gpu ?? (await Gpu.request());
  const run = new GuideRun(gpu, args, settings);
  try {
    return await run.all();
  } finally {
    run.models.releaseAll();
    if (!args.gpu) gpu.dispose();
  }
}

/** One run: its models, its clock and its listener. */
class GuideRun {
  readonly models: HeldModels = new HeldModels();
  readonly #gpu: Gpu;
  readonly #args: GuideArgs;
  readonly #settings: SettledRun;
  readonly #offload: boolean;
  readonly #seed: number;
  readonly #timings: Partial<Record<GuidePhase, number>> = {};

  constructor(gpu: Gpu, args: GuideArgs, settings: SettledRun) {
    this.#gpu = gpu;
    this.#args = args;
    this.#settings = settings;
    this.#offload = args.offload ?? true;
    this.#seed = args.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  }

  async all(): Promise<GuideOutput> {
    const args = this.#args;
    // First, and without weights: what is wrong with it shows before any work.
    const pipeline = await this.#open(() =>
      DiffEditPipeline.fromPretrained(args.models.diffusion, {
        ...this.#loading(),
        variant: args.variant,
        mendQuirks: args.mendQuirks,
        loras: args.loras,
        embeddings: args.embeddings,
        modelCpuOffload: this.#offload,
        ...{ maxBytes: args.maxBytes, allowTiles: args.allowTiles },
        ...{ streamWeights: args.streamWeights, hostMemory: args.hostMemory },
        loadWhenNeeded: true,
      }),
    );
    const { image, fitted } = this.#working(pipeline);
    if (args.vaeSlicing) pipeline.enableVaeSlicing();
    if (args.vaeTiling) pipeline.enableVaeTiling(args.vaeTiling === true ? {} : args.vaeTiling);
    checkGuidePlan(this.#settings, pipeline, image);
    if (args.maxBytes !== undefined)
      await checkGuideBudget(args.maxBytes, { args, pipeline, image, loading: this.#loading() });
    const text = await this.#caption(image);
    const [sourcePrompts, targetPrompts] = await this.#prompts();
    const [sourceEmbeds, targetEmbeds] = await this.#embed(pipeline, sourcePrompts, targetPrompts);
    const { mask, latents, images, timings } = await pipeline.run({
      ...argumentsIn('run', args),
      onProgress: this.#listen(pipeline),
      ...{ image, sourcePromptEmbeds: sourceEmbeds, targetPromptEmbeds: targetEmbeds },
      pasteBack: args.pasteBack && { ...args.pasteBack, fit: args.pasteBack.fit ?? (args.fit && fitted) },
      ...{ seed: this.#seed, returnLatents: true },
    });
    this.models.worked(pipeline);
    for (const [phase, ms] of Object.entries(timings)) this.#spent(phase as Phase, ms);
    if (!mask || !latents) throw new InputError({ op: 'runGuide', problem: 'the pipeline skipped a phase' });
    return {
      ...{ seed: this.#seed, image, fitted, caption: text, sourcePrompts, targetPrompts, sourceEmbeds, targetEmbeds },
      ...{ mask, latents, images, timings: this.#timings, peakBytes: this.models.peakBytes },
    };
  }

  /** The picture at the size that the diffusion model works at. */
  #working(pipeline: DiffEditPipeline): { readonly image: RgbImage; readonly fitted: PictureFit } {
    const { image, fit, pasteBack, size: sizeOf = model => model.defaultSize } = this.#args;
    const size = sizeOf(pipeline);
    if (fit !== undefined || size === 'own') {
      const { image: seen, ...fitted } = fitImage(image, pipeline, { fit: fit ?? 'squash', size });
      const into = pasteBack && !pasteBack.fit ? [pasteBack.image].flat() : [];
      for (const picture of into as RgbImage[]) checkFitOf('runGuide.pasteBack', picture, fitted);
      return { image: seen, fitted };
    }
    const same = image.width === size.width && image.height === size.height;
    return {
      image: same ? image : resize(image, size.width, size.height, 'bicubic'),
      fitted: stretched(image, size, pipeline.vaeScaleFactor),
    };
  }

  async #caption(image: RgbImage): Promise<string> {
    const { models, signal, captionPrefix } = this.#args;
    const blip = await this.#open(() => BlipForConditionalGeneration.fromPretrained(models.blip, this.#loading()));
    const phase = this.#phase('caption');
    const onProgress = this.#passing(e => phase.told(e));
    const text = await caption(blip, image, captionPrefix, { signal, onProgress });
    phase.end();
    this.#leave(blip);
    return text;
  }

  /** Both concepts draw from one stream, the source first. */
  async #prompts(): Promise<readonly [string[], string[]]> {
    const { models, signal, from, to, numPrompts: n = SENTENCES } = this.#args;
    const t5 = await this.#open(() => T5ForConditionalGeneration.fromPretrained(models.t5, this.#loading()));
    const phase = this.#phase('prompts');
    phase.told({ step: 0, of: 2 * n });
    const generator = new Generator(this.#seed);
    let done = 0;
    const onToken = (e: { readonly done: boolean }): void => {
      if (e.done) phase.told({ step: ++done, of: 2 * n });
    };
    const onProgress = this.#passing(() => undefined); // sentences are counted
    const source = await generatePrompts(t5, from, { n, generator, signal, onToken, onProgress });
    const target = await generatePrompts(t5, to, { n, generator, signal, onToken, onProgress });
    phase.end();
    this.#leave(t5);
    return [source, target];
  }

  async #embed(
    pipeline: DiffEditPipeline,
    source: readonly string[],
    target: readonly string[],
  ): Promise<[NdArray, NdArray]> {
    const call = { signal: this.#args.signal, onProgress: this.#listen(pipeline) };
    const start = performance.now();
    // One pass for both: an offloaded text encoder comes to the device once, and the averages read what was kept of it.
    const encoder = this.#args.maxBytes === undefined ? pipeline : encoderWithinBudget(pipeline);
    await encoder.encodePrompt([...source, ...target], call);
    const embeds: [NdArray, NdArray] = [
      await embedPrompts(encoder, source, call),
      await embedPrompts(encoder, target, call),
    ];
    this.#spent('text', performance.now() - start);
    return embeds;
  }

  #loading() {
    const { dtype, signal, onWarning } = this.#args;
    return { gpu: this.#gpu, dtype, signal, onWarning, onProgress: this.#listen() };
  }

  /** Passes a model's events on, with the bytes of all models. */
  #listen(from?: DiffEditPipeline): (event: ProgressEvent) => void {
    return e => {
      const others = this.models.bytes - (from?.bytes ?? 0);
      this.#args.onProgress?.({ ...e, bytes: e.bytes + others });
    };
  }

  async #open<T extends HeldModel>(open: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const model = this.models.add(await open());
    this.#spent('load', performance.now() - start);
    return model;
  }

  /** A model has done its part. */
  #leave(model: HeldModel): void {
    if (this.#offload || this.#args.maxBytes !== undefined) this.models.release(model);
    else this.models.worked(model);
  }

  /** Passes a text model's events on, but for those of its texts. */
  #passing(onText: (event: ProgressEvent) => void): (event: ProgressEvent) => void {
    const pass = this.#listen();
    return e => (e.phase === 'text' ? onText(e) : pass(e));
  }

  #phase(phase: GuidePhase): { told(piece: Pick<GuideEvent, 'step' | 'of'>): void; end(): void } {
    this.#args.signal?.throwIfAborted();
    const start = performance.now();
    const pace = new PaceMeter();
    return {
      told: ({ step, of }) => {
        const ms = performance.now() - start;
        this.#args.onProgress?.({ phase, step, of, ms, bytes: this.models.bytes, ...pace.at(ms, step, of) });
      },
      end: () => this.#spent(phase, performance.now() - start),
    };
  }

  #spent(phase: GuidePhase, ms: number): void {
    this.#timings[phase] = (this.#timings[phase] ?? 0) + ms;
  }
}

/** The published guide's way: all of the picture, at any size. */
function stretched({ width, height }: RgbImage, working: PictureSize, factor: number): PictureFit {
  const picture = { width, height };
  const [region, content] = [
    { left: 0, top: 0, ...picture },
    { left: 0, top: 0, ...working },
  ];
  return { fit: 'squash', factor, picture, working, region, content };
}
