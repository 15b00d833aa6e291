/**
 * Calls of Stable Diffusion 2.1 at its published size on devices that run nothing: planned, then made, and what was asked of the
 * device compared with the plan. Tests take a set of calls that covers every value, `npm run dry-run` all of them.
 */
import { DeviceError } from '../../src/core/errors.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import { countDevice } from './counting.ts';
import { hollowModel } from './fake-models.ts';

/** One call of a dry run. */
export interface DryRunCase {
  /** Pixels of a side. */
  readonly size: number;
  /** Of activations and weights; the file's weights are float16. */
  readonly dtype: 'float32' | 'float16';
  /** Pictures per prompt. */
  readonly images: number;
  /** Whether a guidance scale above 1 doubles the batches. */
  readonly guided: boolean;
  /** Device bytes that the call may take. */
  readonly maxBytes?: number | undefined;
  /** Whether tiles may be used for it. */
  readonly allowTiles?: boolean | undefined;
  /** Whether prompts come as embeddings: the text encoder never comes to the device. */
  readonly embedded?: boolean | undefined;
}

/** What became of it. */
export interface DryRunResult {
  /** Of the plan; undefined for a call that was refused. */
  readonly peakBytes: number | undefined;
  /** Kernel calls of the plan. */
  readonly dispatches: number;
  /** Why it was refused. */
  readonly refused: string | undefined;
  /** Where the device saw something else than the plan said, or more than it allows. */
  readonly wrong: readonly string[];
}

/** The case in one line. */
export function nameOf({ size, dtype, images, guided, maxBytes, allowTiles, embedded }: DryRunCase): string {
  const more = [
    guided ? 'guided' : 'unguided',
    maxBytes !== undefined && `within ${maxBytes / 1e9} GB`,
    allowTiles && 'tiles allowed',
    embedded && 'prompts embedded',
  ];
  return `${size} x ${size}, ${dtype}, ${images} image${images > 1 ? 's' : ''}, ${more.filter(Boolean).join(', ')}`;
}

/** Few steps: a step takes the memory that the one before took. Prompts are new in every run, so that the text encoder works. */
function argumentsOf({ size, images, guided, embedded }: DryRunCase, run: number): RunArgs {
  const tokens = (value: number) => ({ data: new Float32Array(77 * 1024).fill(value), shape: [1, 77, 1024] });
  const prompts = embedded
    ? {
        ...{ sourcePromptEmbeds: tokens(1), targetPromptEmbeds: tokens(2) },
        ...(guided ? { sourceNegativePromptEmbeds: tokens(3), targetNegativePromptEmbeds: tokens(3) } : {}),
        ...(guided ? { negativePromptEmbeds: tokens(3), invertNegativePromptEmbeds: tokens(3) } : {}),
      }
    : { sourcePrompt: `a bowl of ${run} apples`, targetPrompt: `a bowl of ${run} pears` };
  return {
    ...prompts,
    image: { width: size, height: size, data: new Uint8Array(3 * size * size) },
    ...{ seed: 0, numInferenceSteps: 4, numMapsPerMask: 2, numImagesPerPrompt: images, outputType: 'np' },
    ...(guided ? {} : { guidanceScale: 1, maskGuidanceScale: 1, invertGuidanceScale: 1 }),
  } as RunArgs;
}

/** Plans and makes calls on one device. */
export class DryRun {
  readonly #gpu: Gpu;
  #runs = 0;
  readonly #pipelines = new Map<string, DiffEditPipeline>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Plans a call, makes it, and compares. */
  async make(dry: DryRunCase): Promise<DryRunResult> {
    const pipeline = await this.#pipeline(dry);
    const args = argumentsOf(dry, ++this.#runs);
    pipeline.unload();
    const counter = countDevice(this.#gpu);
    const wrong: string[] = [];
    const check = (what: string, got: number, allowed: boolean, wanted: number): void => {
      if (!allowed) wrong.push(`${what}: ${got}, not ${wanted}`);
    };
    const most = (what: string, got: number, limit: number): void => check(what, got, got <= limit, limit);
    try {
      const plan = await pipeline.plan(args).catch(refusal);
      check('buffers made by planning', counter.take().buffers, counter.peakBytes === 0, 0);
      const made = await pipeline.run(args).then(() => undefined, refusal);
      const { buffers } = counter.take();
      const { maxBindingBytes, maxBufferBytes } = this.#gpu.caps;
      most('largest binding', counter.largestBinding, maxBindingBytes);
      most('largest buffer', counter.largestBuffer, maxBufferBytes);
      if (plan instanceof DeviceError) {
        if (made?.message !== plan.message.replace('plan', 'run')) wrong.push(`refused otherwise: ${made?.message}`);
        check('buffers made by a refused call', buffers, buffers === 0, 0);
        return { peakBytes: undefined, dispatches: 0, refused: plan.message, wrong };
      }
      if (made) wrong.push(`refused, though planned: ${made.message}`);
      const { peakBytes, largestBinding, largestBuffer, dispatches } = plan;
      check('bytes at the peak', counter.peakBytes, counter.peakBytes === peakBytes, peakBytes);
      check('largest buffer', counter.largestBuffer, counter.largestBuffer === largestBuffer, largestBuffer);
      check('largest binding', counter.largestBinding, counter.largestBinding === largestBinding, largestBinding);
      check('bytes held', counter.liveBytes, counter.liveBytes === pipeline.bytes, pipeline.bytes);
      if (dry.maxBytes !== undefined) most('bytes at the peak', counter.peakBytes, dry.maxBytes);
      return { peakBytes, dispatches, refused: undefined, wrong };
    } finally {
      pipeline.unload();
      check('bytes left', counter.liveBytes, counter.liveBytes === 0, 0);
      counter.stop();
    }
  }

  /** Lets the text encoder work, where prompts come as embeddings. */
  async encodePrompt(): Promise<void> {
    for (const pipeline of this.#pipelines.values()) {
      await pipeline.encodePrompt('a bowl of apples', { numImagesPerPrompt: 1 });
      pipeline.unload();
    }
  }

  /** Closes everything but the device. */
  dispose(): void {
    for (const pipeline of this.#pipelines.values()) pipeline.dispose();
    this.#pipelines.clear();
  }

  async #pipeline({ dtype, maxBytes, allowTiles }: DryRunCase): Promise<DiffEditPipeline> {
    const key = `${dtype} ${maxBytes} ${allowTiles}`;
    const known = this.#pipelines.get(key);
    if (known) return known;
    const options = { gpu: this.#gpu, dtype, maxBytes, allowTiles, loadWhenNeeded: true, onWarning: () => undefined };
    const pipeline = await DiffEditPipeline.fromPretrained(hollowModel('sd21'), options);
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }
}

function refusal(error: unknown): DeviceError {
  if (error instanceof DeviceError) return error;
  throw error;
}
