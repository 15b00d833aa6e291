/**
 * Text to text by T5 and Flan-T5. Raffel et al. 2019, https://arxiv.org/abs/1910.10683; Chung et al. 2022,
 * https://arxiv.org/abs/2210.11416. Reference: transformers 4.57.6, T5ForConditionalGeneration. How ids are chosen is in
 * src/generation, what runs on the device in t5-context.ts.
 */

import { InputError } from '../../core/errors.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import {
  type GenerateOptions,
  type GenerateOutput,
  type GenerationInputs,
  generate,
  planGeneration,
  type Sequences,
  withTokenText,
} from '../../generation/index.ts';
import type { Gpu } from '../../gpu/device.ts';
import type { T5Config, T5Model } from '../../models/t5/index.ts';
import { DeviceTensor } from '../../tensor/device-tensor.ts';
import { Graph } from '../../tensor/graph.ts';
import { LARGEST_GROUP, type Tensor } from '../../tensor/ops.ts';
import type { T5Tokenizer } from '../../tokenizers/index.ts';
import type { ProgressEvent } from '../diffedit/types.ts';
import { ModelShell } from '../runtime/device-model.ts';
import { type OpenedT5, openT5 } from './t5-folder.ts';
import { additive, type EncoderInput, isPadded, T5InputContext } from './t5-inputs.ts';

const OP = 'T5ForConditionalGeneration';

/** Options of `fromPretrained`. */
export interface T5Options {
  /** A device from Gpu.request() or requestGpu() of pentimento/node; by default a new one, which dispose() then frees. */
  readonly gpu?: Gpu | undefined;
  /**
   * Of activations, and, for float16, of weights; float32 keeps weights in the file's own precision. The residual stream and
   * the feed-forward products are f32 either way. Default float32.
   */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Such as 'fp16': takes the weight files of that name. */
  readonly variant?: string | undefined;
  /** Told of loading. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Ends the loading with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of tensors that the file holds and the model has no use for; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Keeps the weights in the file but for the length of each call. Default false. */
  readonly modelCpuOffload?: boolean | undefined;
}

/** Ids in place of texts. */
export interface T5Input {
  /** N rows of equal length, the end id and padding included. */
  readonly ids: Sequences;
  /** 1 for ids that count, 0 for padding; by default all but the padding id count. */
  readonly attentionMask?: Sequences | undefined;
  /** How the answers begin: N rows of equal length, the start id put in front where none begins with it. */
  readonly decoderIds?: Sequences | undefined;
}

/** Options of `generate`: those of generation, and one for the texts. */
export type T5GenerateOptions = GenerateOptions & {
  /** Pulls punctuation and English contractions to the word before; default as tokenizer_config.json says. */
  readonly cleanUp?: boolean | undefined;
};

/** Answers, and the ids behind them: from the start id on, with the end id and padding. */
export interface T5Output extends GenerateOutput {
  /** Empty where the folder has no tokenizer. */
  readonly texts: string[];
}

/** Answers texts with texts. One call at a time; other pipelines may share the device. */
export class T5ForConditionalGeneration {
  /** The device that it runs on. */
  readonly gpu: Gpu;
  /** Type of its activations. */
  readonly dtype: 'float32' | 'float16';
  /** Sizes of its networks. */
  readonly config: T5Config;
  /** Absent where the folder has none; the model then takes ids alone. */
  readonly tokenizer: T5Tokenizer | undefined;
  readonly #opened: OpenedT5;
  readonly #shell: Shell;

  private constructor(shell: Shell, opened: OpenedT5) {
    this.gpu = shell.home.gpu;
    this.dtype = shell.home.dtype;
    this.config = opened.config;
    this.tokenizer = opened.tokenizer;
    this.#opened = opened;
    this.#shell = shell;
  }

  /**
   * Reads a model folder as transformers saves it (weights as safetensors or pytorch_model.bin, whole or in shards) and,
   * unless offloading is asked for, brings its weights to the device.
   * @param folder a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @param options device, precision, progress
   * @throws InputError for a folder of another model; WeightsError listing every missing and misshapen tensor; DeviceError
   * without a device or memory; the signal's reason
   */
  static async fromPretrained(folder: FolderSource, options: T5Options = {}): Promise<T5ForConditionalGeneration> {
    const warn = options.onWarning ?? (message => console.warn(message));
    const names = { op: OP, noun: 'model', component: 't5' };
    const { shell, opened } = await ModelShell.open<T5Model, T5InputContext, OpenedT5>(names, options, () =>
      openT5(folder, options.variant, warn),
    );
    return new T5ForConditionalGeneration(shell, opened);
  }

  /** Device bytes held now: weights, plans, tensors. */
  get bytes(): number {
    return this.#shell.home.memory.bytes;
  }

  /** The most device bytes that were ever held. */
  get peakBytes(): number {
    return this.#shell.home.memory.peak;
  }

  /**
   * Writes answers: numReturnSequences for each input, one after the other, each beginning with the config's start id.
   * @param input a text, several, or their ids
   * @param options everything that generation takes; 20 new ids by default
   * @returns texts and ids
   * @throws InputError for arguments that make no sense; DeviceError for a busy or disposed model; the signal's reason
   * @see transformers T5ForConditionalGeneration.generate
   */
  async generate(input: string | readonly string[] | T5Input, options: T5GenerateOptions = {}): Promise<T5Output> {
    const { cleanUp, ...own } = options;
    const { tokenizer } = this;
    const { defaults } = this.#opened;
    const prepared = this.#prepare(input);
    const { decoderIds } = typeof input === 'object' && 'ids' in input ? input : {};
    const task: GenerationInputs = {
      inputs: prepared.ids.length,
      encoderDecoder: true,
      encoderIds: prepared.ids,
      ...(decoderIds ? { prompt: this.#checkAnswers(decoderIds, prepared) } : {}),
      maxBeams: LARGEST_GROUP,
      defaults,
    };
    const settings = withTokenText(own, defaults, tokenizer);
    planGeneration(task, settings); // refuses what makes no sense before weights are loaded
    return this.#shell.run(options.signal, async () => {
      const context = await this.#read(prepared);
      const output = await generate({ ...task, startDecoder: (...sizes) => context.start(...sizes) }, settings);
      const decoding = { skipSpecialTokens: true, ...(cleanUp === undefined ? {} : { cleanUp }) };
      return { ...output, texts: tokenizer?.decodeBatch(output.sequences, decoding) ?? [] };
    });
  }

  /**
   * Last hidden states of the encoder.
   * @param input a text, several (padded to the longest), or their ids
   * @returns [N, S, D] behind the final norm
   * @see transformers T5EncoderModel
   */
  async encode(input: string | readonly string[] | T5Input, signal?: AbortSignalLike): Promise<NdArray> {
    const prepared = this.#prepare(input);
    return this.#shell.run(signal, () => this.#once('encoder', tensor => this.#encoded(prepared, tensor)));
  }

  /**
   * Logits behind every id of given answers, all at once.
   * @param input a text, several (padded to the longest), or their ids
   * @param decoderIds [N] of equal length, the start id first
   * @returns [N, L, V]
   * @see transformers T5ForConditionalGeneration.forward
   */
  async logits(
    input: string | readonly string[] | T5Input,
    decoderIds: Sequences,
    signal?: AbortSignalLike,
  ): Promise<NdArray> {
    const prepared = this.#prepare(input);
    const answers = this.#checkAnswers(decoderIds, prepared);
    return this.#shell.run(signal, () =>
      this.#once('logits', tensor => {
        const { decoder } = this.#shell.home.model;
        const keyValues = decoder.context(this.#encoded(prepared, tensor));
        const keyMask = isPadded(prepared.mask)
          ? tensor(additive(prepared.mask), shapeOf(prepared.mask), 'float32')
          : undefined;
        return decoder.forward(tensor(answers.flat(), shapeOf(answers), 'uint32'), { keyValues, keyMask });
      }),
    );
  }

  /**
   * Takes everything off the device; the next call loads it again.
   * @throws DeviceError while a call is running
   */
  unload(): void {
    this.#shell.unload();
  }

  /** Frees everything on the device and closes the files. A call that runs ends with an error. */
  dispose(): void {
    this.#shell.dispose();
  }

  #prepare(input: string | readonly string[] | T5Input): EncoderInput {
    if (typeof input === 'object' && 'ids' in input) {
      const ids = this.#checkIds(input.ids, 'ids');
      return { ids, mask: maskOf(input, ids, this.config) };
    }
    if (!this.tokenizer) {
      const fix = 'Add tokenizer.json or spiece.model to the folder, or pass ids.';
      throw new InputError({ op: OP, problem: 'the folder has no tokenizer', fix });
    }
    const texts = typeof input === 'string' ? [input] : input;
    if (texts.length === 0) throw new InputError({ op: OP, problem: 'no text', expected: 'at least one' });
    const rows = this.tokenizer.encodeBatch(texts, { padding: 'longest' });
    return { ids: rows.map(row => row.ids), mask: rows.map(row => row.attentionMask) };
  }

  #checkIds(ids: Sequences, path: string): Sequences {
    const length = ids[0]?.length ?? 0;
    const { vocabulary } = this.config;
    const known = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < vocabulary;
    if (length > 0 && ids.every(row => row.length === length && row.every(known))) return ids;
    const expected = `rows of equal length, ids from 0 to ${vocabulary - 1}`;
    throw new InputError({ op: OP, problem: 'not ids of this model', expected, received: ids, path });
  }

  #checkAnswers(decoderIds: Sequences, { ids }: EncoderInput): Sequences {
    const answers = this.#checkIds(decoderIds, 'decoderIds');
    if (answers.length === ids.length) return answers;
    const [expected, received] = [`${ids.length} rows`, answers.length];
    throw new InputError({ op: OP, problem: 'one answer for each input', expected, received, path: 'decoderIds' });
  }

  #encoded({ ids, mask }: EncoderInput, tensor: Upload): Tensor {
    const keyMask = isPadded(mask) ? tensor(additive(mask), shapeOf(mask), 'float32') : undefined;
    return this.#shell.home.model.encoder.forward(tensor(ids.flat(), shapeOf(ids), 'uint32'), keyMask);
  }

  /** Records, runs once and reads one result. */
  async #once(label: string, record: (tensor: Upload) => Tensor): Promise<NdArray> {
    const { memory } = this.#shell.home;
    const graph = new Graph(this.gpu, { dtype: this.dtype });
    const result = record((data, shape, dtype) => graph.constant(data, shape, dtype));
    const target = DeviceTensor.create(this.gpu, result.shape, result.dtype, `t5 ${label}`);
    try {
      graph.store(result, target);
      const plan = await graph.compile({ label: `t5 ${label}` });
      const bytes = plan.peakBytes + target.bytes;
      memory.add(bytes);
      try {
        this.#shell.check();
        plan.run();
        return ndarray(await target.read(), result.shape);
      } finally {
        plan.dispose();
        memory.add(-bytes);
      }
    } finally {
      target.dispose();
    }
  }

  /** Encodes the input; plans of the same shape are kept. */
  async #read(input: EncoderInput): Promise<T5InputContext> {
    const key = T5InputContext.keyOf(input);
    const context = await this.#shell.context(key, home => T5InputContext.create(home, input));
    context.encode(input);
    return context;
  }
}

type Shell = ModelShell<T5Model, T5InputContext>;

type Upload = (data: readonly number[], shape: readonly number[], dtype: 'uint32' | 'float32') => Tensor;

function shapeOf(rows: Sequences): readonly number[] {
  return [rows.length, rows[0]?.length ?? 0];
}

/** As transformers: without a mask all ids count, but for padding where it is not the end id and occurs. */
function maskOf(input: T5Input, ids: Sequences, { padId, endId }: T5Config): Sequences {
  const { attentionMask } = input;
  if (!attentionMask) return ids.map(row => row.map(id => (id === padId && padId !== endId ? 0 : 1)));
  const fits = attentionMask.length === ids.length && attentionMask.every((row, i) => row.length === ids[i]?.length);
  if (fits && attentionMask.every(row => row.every(counts => counts === 0 || counts === 1))) return attentionMask;
  const expected = `0 or 1 for each of ${ids.length} x ${ids[0]?.length} ids`;
  throw new InputError({
    op: OP,
    problem: 'the mask does not fit the ids',
    expected,
    received: attentionMask,
    path: 'attentionMask',
  });
}
