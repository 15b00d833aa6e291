/** Prompts to embeddings: every distinct row of ids goes through the text encoder once, then comes from a cache on the host. */
import { InputError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { type Shape, sameShape } from '../../core/shape.ts';
import { concatenate } from '../../io/preprocess.ts';
import type { ClipTextModel } from '../../models/stable-diffusion/index.ts';
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Network } from '../runtime/network.ts';
import { batchOf, negativesOf, type PromptArgs, type PromptNames, promptNames } from './prompt-arguments.ts';

/** Rows that are remembered: [77, 1024] floats are 300 KiB. */
const REMEMBERED = 64;

export interface EncodeOptions {
  /** For messages. */
  readonly op: string;
  readonly names?: PromptNames;
  /** Classifier-free guidance: without it there is no negative. */
  readonly guided: boolean;
  /** Layers that the positive prompt skips; the negative never does. */
  readonly clipSkip?: number | undefined;
}

/** Embeddings of the prompts of a batch, [B, L, D] each. */
export interface Embeddings {
  readonly positive: NdArray;
  /** Absent without guidance. */
  readonly negative: NdArray | undefined;
}

export interface EncodeJob {
  readonly args: PromptArgs;
  readonly options: EncodeOptions;
}

/** The tokenizer, the text encoder and the embeddings made so far. */
export class ClipPromptEncoder {
  readonly network: Network<ClipTextModel>;
  readonly tokenizer: ClipTokenizer;
  readonly #warn: (message: string) => void;
  readonly #rows = new Map<string, Float32Array>();

  constructor(network: Network<ClipTextModel>, tokenizer: ClipTokenizer, warn: (message: string) => void) {
    this.network = network;
    this.tokenizer = tokenizer;
    this.#warn = warn;
  }

  /**
   * Embeddings of prompts given as text or as embeddings.
   * @throws InputError or ShapeError where positive and negative do not fit together
   */
  async encode(call: DeviceCall, args: PromptArgs, o: EncodeOptions): Promise<Embeddings> {
    const [both] = await this.encodeAll(call, [{ args, options: o }]);
    return both;
  }

  /** The same for several prompts, with one pass of the text encoder for each clipSkip. */
  async encodeAll<const J extends readonly EncodeJob[]>(
    call: DeviceCall,
    jobs: J,
  ): Promise<{ [K in keyof J]: Embeddings }> {
    const wanted = jobs.map(({ args, options: o }) => {
      const names = o.names ?? promptNames('');
      const own = o.guided && args.negativePromptEmbeds == null ? negativesOf(o.op, args, names) : undefined;
      const positive = args.prompt == null ? undefined : typeof args.prompt === 'string' ? [args.prompt] : args.prompt;
      return { positive, negative: own, clipSkip: o.clipSkip ?? 0 };
    });
    jobs.forEach(({ args, options: o }, i) => {
      this.#checkClipSkip(o);
      const shape = this.shapeOf(args);
      this.#check(o, shape, 'promptEmbeds', shape);
      const count = wanted[i]?.negative?.length;
      const own = o.guided ? args.negativePromptEmbeds?.shape : undefined;
      this.#check(o, count === undefined ? (own ?? shape) : this.#shape(count), 'negativePromptEmbeds', shape);
    });
    const texts = wanted.flatMap(w => [
      ...(w.positive ?? []).map(text => ({ text, clipSkip: w.clipSkip })),
      ...(w.negative ?? []).map(text => ({ text, clipSkip: 0 })),
    ]);
    const rows = await this.#rowsOf(call, texts);
    let at = 0;
    const take = (list: readonly string[] | undefined, given: NdArray | undefined): NdArray | undefined => {
      if (!list) return given;
      at += list.length;
      return this.#stack(rows.slice(at - list.length, at));
    };
    return jobs.map(({ args, options: o }, i) => {
      const positive = take(wanted[i]?.positive, args.promptEmbeds) as NdArray;
      const negative = take(wanted[i]?.negative, o.guided ? (args.negativePromptEmbeds ?? undefined) : undefined);
      return { positive, negative };
    }) as { [K in keyof J]: Embeddings };
  }

  /** [B, L, D] of the embeddings that prompts will have. */
  shapeOf(args: PromptArgs): Shape {
    return args.promptEmbeds?.shape ?? this.#shape(batchOf(args));
  }

  #shape(count: number): Shape {
    return [count, this.tokenizer.modelMaxLength, this.network.model.config.width];
  }

  #check(o: EncodeOptions, shape: Shape, name: 'promptEmbeds' | 'negativePromptEmbeds', positive: Shape): void {
    const expected = [...positive.slice(0, 2), this.network.model.config.width];
    if (sameShape(shape, expected)) return;
    throw new InputError({
      op: o.op,
      problem: 'embeddings do not fit the model or each other',
      expected,
      received: shape,
      path: (o.names ?? promptNames(''))[name],
      fix: 'Encode prompt and negative prompt with this pipeline, for the same number of prompts.',
    });
  }

  #checkClipSkip({ op, clipSkip }: EncodeOptions): void {
    const { layers } = this.network.model.config;
    if (clipSkip == null || (Number.isInteger(clipSkip) && clipSkip >= 0 && clipSkip <= layers)) return;
    throw new InputError({
      op,
      problem: 'no number of layers to skip',
      expected: `a whole number from 0 to ${layers}`,
      received: clipSkip,
      path: 'clipSkip',
    });
  }

  #stack(rows: readonly Float32Array[]): NdArray {
    const { width } = this.network.model.config;
    return concatenate(
      rows.map(data => ndarray(data, [1, data.length / width, width])),
      'encodePrompt',
    );
  }

  async #rowsOf(call: DeviceCall, texts: readonly { text: string; clipSkip: number }[]): Promise<Float32Array[]> {
    const told = new Set<string>();
    const keys = texts.map(({ text, clipSkip }) => {
      const { ids, overflowText } = this.tokenizer.encode(this.tokenizer.expandTokens(text));
      if (overflowText && !told.has(text)) {
        told.add(text);
        this.#warn(
          `The text encoder takes ${this.tokenizer.modelMaxLength} tokens; the rest of a prompt is cut off: "${overflowText}"`,
        );
      }
      return { key: `${clipSkip}:${ids.join()}`, ids, clipSkip };
    });
    const missing = new Map(keys.filter(k => !this.#rows.has(k.key)).map(k => [k.key, k]));
    const found = new Map(keys.map(({ key }) => [key, this.#rows.get(key)]));
    for (const clipSkip of new Set([...missing.values()].map(k => k.clipSkip))) {
      const batch = [...missing.values()].filter(k => k.clipSkip === clipSkip);
      const rows = await this.#run(
        call,
        batch.map(k => k.ids),
        clipSkip,
      );
      batch.forEach((k, i) => {
        found.set(k.key, rows[i]);
        this.#rows.set(k.key, rows[i] as Float32Array);
      });
    }
    for (const key of [...this.#rows.keys()].slice(0, Math.max(0, this.#rows.size - REMEMBERED)))
      this.#rows.delete(key);
    return keys.map(({ key }) => found.get(key) as Float32Array);
  }

  /** ids [P][L] -> P rows of [L, D] */
  async #run(call: DeviceCall, ids: readonly number[][], clipSkip: number): Promise<Float32Array[]> {
    const phase = call.phase('text', 1);
    const [count, length] = [ids.length, ids[0]?.length ?? 0];
    const key = `${count}x${length} skip ${clipSkip}`;
    const input = { data: ids.flat(), shape: [count, length], dtype: 'uint32' as const };
    const { data: values } = await call.evaluate(this.network, key, 1, input, x =>
      this.network.model.forward(x, { clipSkip }),
    );
    phase.done(1);
    const size = values.length / count;
    return ids.map((_, i) => values.slice(i * size, (i + 1) * size));
  }
}
