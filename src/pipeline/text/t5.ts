/**
 * Text to text by T5 and Flan-T5. Raffel et al. 2019, https://arxiv.org/abs/1910.10683; Chung et al. 2022,
 * https://arxiv.org/abs/2210.11416. Reference: transformers 4.57.6, T5ForConditionalGeneration. How ids are chosen is in
 * src/generation, what runs on the device in t5-encoded-texts.ts; both are loaded with the first model.
 */

import { InputError } from '../../core/errors.ts';
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { GenerateOptions, GenerateOutput, GenerationInputs, Sequences } from '../../generation/index.ts';
import { heedSignal } from '../../io/heed-signal.ts';
import type { T5Config, T5Model } from '../../models/t5/index.ts';
import { LARGEST_GROUP } from '../../tensor/ops/cache.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { checkIds, type T5Tokenizer } from '../../tokenizers/index.ts';
import { DeviceModel } from '../runtime/device-model.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import { type DeviceModelOptions, warner } from '../runtime/model-options.ts';
import { PretrainedModel } from '../runtime/pretrained-model.ts';
import { CALL_OPTIONS, type CallOptions } from '../runtime/progress.ts';
import type { T5Folder } from './t5-folder.ts';
import { additive, type EncoderInput, isPadded } from './t5-masks.ts';
import type { Writer } from './text-writer.ts';

const INPUT = namesOf<T5Input>({ ids: 1, attentionMask: 1, decoderIds: 1 });
const OP = 'T5ForConditionalGeneration';

/** Options of `fromPretrained`; the residual stream and the feed-forward products are f32 whatever `dtype` says. */
export interface T5Options extends DeviceModelOptions {}

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
export type T5GenerateOptions = GenerateOptions &
  CallOptions & {
    /** Pulls punctuation and English contractions to the word before; default as tokenizer_config.json says. */
    readonly cleanUp?: boolean | undefined;
  };

/** Answers, and the ids behind them: from the start id on, with the end id and padding. */
export interface T5Output extends GenerateOutput {
  /** Empty where the folder has no tokenizer. */
  readonly texts: string[];
}

/** Answers texts with texts. One call at a time; other pipelines may share the device. */
export class T5ForConditionalGeneration extends PretrainedModel {
  /** Sizes of its networks. */
  readonly config: T5Config;
  /** Absent where the folder has none; the model then takes ids alone. */
  readonly tokenizer: T5Tokenizer | undefined;
  readonly #folder: T5Folder;
  readonly #device: DeviceModel<Models>;
  readonly #writer: Writer<EncoderInput>;

  private constructor(device: DeviceModel<Models>, opened: T5Folder, writer: Writer<EncoderInput>) {
    super(device);
    this.config = opened.config;
    this.tokenizer = opened.tokenizer;
    this.#folder = opened;
    this.#device = device;
    this.#writer = writer;
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
    const [{ openT5Folder }, { t5Writer }] = await Promise.all([
      loadPart('T5', () => import('./t5-folder.ts')),
      loadPart('T5', () => import('./t5-writer.ts')),
    ]);
    const names = { op: OP, noun: 'model' };
    const { device, opened } = await DeviceModel.open<Models, T5Folder>(names, options, () =>
      heedSignal(folder, options.signal, own => openT5Folder(own, options.variant, warner(options))),
    );
    return new T5ForConditionalGeneration(device, opened, t5Writer(device));
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
    checkByName('generate', options);
    const { task, prepared } = this.#task(input);
    return this.#writer.write(task, options, this.tokenizer, prepared);
  }

  /**
   * What `generate` would take where no text ends early, known before it: device and host memory, the largest binding and buffer,
   * kernel calls, floating-point operations. No weights are read and nothing is done on the device.
   * @throws as generate, also DeviceError for what the device would refuse
   */
  async plan(input: string | readonly string[] | T5Input, options: T5GenerateOptions = {}): Promise<CallPlan> {
    checkByName('plan', options);
    const { task, prepared } = this.#task(input);
    return this.#writer.plan(task, options, this.tokenizer, prepared);
  }

  /**
   * Last hidden states of the encoder.
   * @param input a text, several (padded to the longest), or their ids
   * @returns [N, S, D] behind the final norm
   * @see transformers T5EncoderModel
   */
  async encode(input: string | readonly string[] | T5Input, options: CallOptions = {}): Promise<NdArray> {
    checkNames('encode', options, CALL_OPTIONS);
    const prepared = this.#prepare(input);
    return this.#once('encode', options, upload => this.#encoded(prepared, upload));
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
    options: CallOptions = {},
  ): Promise<NdArray> {
    checkNames('logits', options, CALL_OPTIONS);
    const prepared = this.#prepare(input);
    const answers = this.#checkAnswers(decoderIds, prepared);
    return this.#once('logits', options, upload => {
      const { decoder } = this.#device.networks.t5.model;
      const keyValues = decoder.context(this.#encoded(prepared, upload));
      const keyMask = maskTensor(prepared, upload);
      return decoder.forward(upload(answers.flat(), shapeOf(answers), 'uint32'), { keyValues, keyMask });
    });
  }

  #task(input: string | readonly string[] | T5Input): { task: GenerationInputs; prepared: EncoderInput } {
    const prepared = this.#prepare(input);
    const { decoderIds } = isIds(input) ? input : {};
    const task: GenerationInputs = {
      inputs: prepared.ids.length,
      encoderDecoder: true,
      encoderIds: prepared.ids,
      ...(decoderIds ? { prompt: this.#checkAnswers(decoderIds, prepared) } : {}),
      maxBeams: LARGEST_GROUP,
      defaults: this.#folder.defaults,
    };
    return { task, prepared };
  }

  #prepare(input: string | readonly string[] | T5Input): EncoderInput {
    if (isIds(input)) {
      checkNames(OP, input, INPUT);
      const ids = this.#checkIds(input.ids, 'ids');
      return { ids, mask: maskOf(input, ids, this.config) };
    }
    if (!this.tokenizer) {
      const fix = 'Add tokenizer.json or spiece.model to the folder, or pass ids.';
      throw new InputError({ op: OP, problem: 'the folder has no tokenizer', fix });
    }
    const texts = typeof input === 'string' ? [input] : input;
    if (!Array.isArray(texts) || texts.length === 0) {
      const received = input === null ? 'null' : Array.isArray(input) ? 'an empty list' : typeof input;
      throw new InputError({ op: OP, problem: 'no text', expected: 'a text, several, or { ids }', received });
    }
    const rows = this.tokenizer.encodeBatch(texts, { padding: 'longest' });
    const table = { rows: this.config.vocabulary, name: "T5's table of embeddings" };
    for (const { ids } of rows) checkIds(OP, ids, this.tokenizer, table);
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

  #encoded(input: EncoderInput, upload: Upload): Tensor {
    const { ids } = input;
    const { encoder } = this.#device.networks.t5.model;
    return encoder.forward(upload(ids.flat(), shapeOf(ids), 'uint32'), maskTensor(input, upload));
  }

  /** Records, runs once and reads one result. */
  #once(op: string, options: CallOptions, record: (upload: Upload) => Tensor): Promise<NdArray> {
    return this.#device.call(op, options, async call => {
      await call.use(this.#device.networks.t5);
      return call.once(`t5 ${op}`, (graph, scope) => {
        const result = record((data, shape, dtype) => graph.constant(data, shape, dtype));
        return scope.store(graph, result, `t5 ${op}`);
      });
    });
  }
}

function isIds(input: string | readonly string[] | T5Input): input is T5Input {
  return typeof input === 'object' && input !== null && 'ids' in input;
}

interface Models {
  readonly t5: T5Model;
}

type Upload = (data: readonly number[], shape: readonly number[], dtype: 'uint32' | 'float32') => Tensor;

/** What is added to the scores of padded ids; undefined where there are none. */
function maskTensor({ mask }: EncoderInput, upload: Upload): Tensor | undefined {
  return isPadded(mask) ? upload(additive(mask), shapeOf(mask), 'float32') : undefined;
}

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
