/**
 * Captions of pictures by BLIP. Li et al. 2022, https://arxiv.org/abs/2201.12086. Reference: transformers 4.57.6,
 * BlipForConditionalGeneration and BlipProcessor. How ids are chosen is in src/generation, what runs on the device in
 * blip-encoded-pictures.ts; both are loaded with the first captioner.
 */

import { InputError, ShapeError } from '../../core/errors.ts';
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { NdArray } from '../../core/ndarray.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import type { GenerateOptions, GenerateOutput, GenerationInputs, Sequences } from '../../generation/index.ts';
import { heedSignal } from '../../io/heed-signal.ts';
import type { PictureSize } from '../../io/image.ts';
import type { Picture } from '../../io/preprocess.ts';
import type { BlipConfig, BlipModel } from '../../models/blip/index.ts';
import { LARGEST_GROUP } from '../../tensor/ops/cache.ts';
import { type BertTokenizer, checkIds } from '../../tokenizers/index.ts';
import { DeviceModel } from '../runtime/device-model.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
import { type DeviceModelOptions, warner } from '../runtime/model-options.ts';
import { PretrainedModel } from '../runtime/pretrained-model.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { BlipFolder } from './blip-folder.ts';
import { type BlipProcessorConfig, processPictures } from './blip-processor.ts';
import type { PreparedPictures } from './blip-writer.ts';
import type { Writer } from './text-writer.ts';

const INPUT = namesOf<CaptionInput>({ pixels: 1, ids: 1, interpolatePositions: 1 });
const OP = 'BlipForConditionalGeneration';

/** How a BLIP folder is opened: device, precision, offload, listeners. */
export interface CaptionerOptions extends DeviceModelOptions {}

/** Prepared pictures, and ids that their captions begin with. */
export interface CaptionInput {
  /** [N, 3, H, W], from processPictures. */
  readonly pixels: NdArray;
  /** N rows of equal length as the tokenizer gives them, [CLS] ... [SEP], unpadded: the first is replaced, the last dropped. */
  readonly ids?: Sequences | undefined;
  /** Stretches the position embeddings over pictures of another size than the trained one. Default false. */
  readonly interpolatePositions?: boolean | undefined;
}

/** Options of `generate`: those of generation, two for pictures that it prepares itself, and one for the texts. */
export type CaptionOptions = GenerateOptions &
  CallOptions & {
    /** How every caption begins, such as 'a photograph of'; part of the result. */
    readonly prefix?: string | undefined;
    /** Resizes the pictures to this instead of the model's own size; position embeddings are interpolated. */
    readonly size?: PictureSize | undefined;
    /** Pulls punctuation and English contractions to the word before; default as tokenizer_config.json says. */
    readonly cleanUp?: boolean | undefined;
  };

/** Captions, and the ids behind them: from the start id on, with the end id and padding. */
export interface CaptionOutput extends GenerateOutput {
  /** One for each sequence, without the special tokens. */
  readonly texts: string[];
}

/** What a captioner wrote about one picture. */
export interface Caption {
  /** What the picture shows, the prefix included. */
  readonly text: string;
  /** Its ids, from the start id to the end id. */
  readonly ids: readonly number[];
}

/** Writes captions. One call at a time; other pipelines may share the device. */
export class BlipForConditionalGeneration extends PretrainedModel {
  /** Sizes of its networks. */
  readonly config: BlipConfig;
  /** How it prepares pictures. */
  readonly processor: BlipProcessorConfig;
  /** BERT's, with BLIP's marks. */
  readonly tokenizer: BertTokenizer;
  readonly #folder: BlipFolder;
  readonly #writer: Writer<PreparedPictures>;

  private constructor(device: DeviceModel<Models>, opened: BlipFolder, writer: Writer<PreparedPictures>) {
    super(device);
    this.config = opened.config;
    this.processor = opened.processor;
    this.tokenizer = opened.tokenizer;
    this.#folder = opened;
    this.#writer = writer;
  }

  /**
   * Reads a model folder as transformers saves it (weights as safetensors or pytorch_model.bin, whole or in shards) and,
   * unless offloading is asked for, brings its weights to the device.
   * @param folder a directory (pentimento/node), a map of Blobs, URLs, or an object of the same face
   * @param options device, precision, progress
   * @throws InputError for a folder of another model; WeightsError listing every missing and misshapen tensor;
   * DeviceError without a device or memory; the signal's reason
   */
  static async fromPretrained(
    folder: FolderSource,
    options: CaptionerOptions = {},
  ): Promise<BlipForConditionalGeneration> {
    const [{ openBlipFolder }, { blipWriter }] = await Promise.all([
      loadPart('BLIP', () => import('./blip-folder.ts')),
      loadPart('BLIP', () => import('./blip-writer.ts')),
    ]);
    const names = { op: OP, noun: 'captioner' };
    const { device, opened } = await DeviceModel.open<Models, BlipFolder>(names, options, () =>
      heedSignal(folder, options.signal, own => openBlipFolder(own, options.variant, warner(options))),
    );
    return new BlipForConditionalGeneration(device, opened, blipWriter(device, opened));
  }

  /**
   * Writes a caption of one picture.
   * @param image of any size
   * @param prefix how the caption begins, such as 'a photograph of'; part of the result
   * @param options size, and everything that generation takes; 20 new ids by default
   * @returns the best caption and its ids
   * @throws as `generate`
   */
  async caption(image: Picture, prefix?: string, options: CaptionOptions = {}): Promise<Caption> {
    checkByName('caption', options);
    const { texts, sequences } = await this.generate(image, { ...options, prefix: prefix ?? options.prefix });
    return { text: texts[0] ?? '', ids: sequences[0] ?? [] };
  }

  /**
   * Writes captions: numReturnSequences for each picture, one after the other. Each begins with the config's start id;
   * [SEP] ends it, and the config's eos_token_id has no part.
   * @param input one picture or several of any sizes, or what they become: pixels, and ids of the prefixes
   * @param options prefix, size, and everything that generation takes; 20 new ids by default
   * @returns texts and ids
   * @throws InputError for arguments that make no sense; ShapeError for pixels of another size than the model's;
   * DeviceError for a busy or disposed captioner; the signal's reason
   * @see transformers BlipProcessor, BlipForConditionalGeneration.generate
   */
  async generate(
    input: Picture | readonly Picture[] | CaptionInput,
    options: CaptionOptions = {},
  ): Promise<CaptionOutput> {
    checkByName('generate', options);
    const { prefix, size, ...own } = options;
    const { task, prepared } = this.#task(input, prefix, size);
    return this.#writer.write(task, own, this.tokenizer, prepared);
  }

  /**
   * What `generate` would take where no caption ends early, known before it: device and host memory, the largest binding and
   * buffer, kernel calls, floating-point operations. No weights are read and nothing is done on the device.
   * @throws as generate, also DeviceError for what the device would refuse
   */
  async plan(input: Picture | readonly Picture[] | CaptionInput, options: CaptionOptions = {}): Promise<CallPlan> {
    checkByName('plan', options);
    const { prefix, size, ...own } = options;
    const { task, prepared } = this.#task(input, prefix, size);
    return this.#writer.plan(task, own, this.tokenizer, prepared);
  }

  #task(
    input: Picture | readonly Picture[] | CaptionInput,
    prefix?: string,
    size?: PictureSize,
  ): { task: GenerationInputs; prepared: CaptionInput } {
    if (isPrepared(input)) checkNames(OP, input, INPUT);
    const prepared = isPrepared(input) ? input : this.#prepare(input, prefix, size);
    const prompt = this.#prompt(prepared);
    const task: GenerationInputs = {
      inputs: prompt.length,
      encoderDecoder: false,
      prompt,
      maxPositions: this.config.text.positions,
      maxBeams: LARGEST_GROUP,
      defaults: this.#folder.defaults,
    };
    return { task, prepared };
  }

  #prepare(pictures: Picture | readonly Picture[], prefix?: string, size?: PictureSize): CaptionInput {
    const pixels = processPictures(pictures, this.processor, size);
    const row = prefix === undefined ? undefined : this.tokenizer.encode(prefix).ids;
    const ids = row && Array.from({ length: pixels.shape[0] ?? 0 }, () => row);
    return { pixels, ids, interpolatePositions: size !== undefined };
  }

  /** The ids that the decoder begins with. */
  #prompt({ pixels, ids }: CaptionInput): Sequences {
    const [pictures = 0, channels] = pixels.shape;
    if (pixels.shape.length !== 4 || channels !== 3) {
      throw new ShapeError({
        op: OP,
        problem: 'not pictures',
        expected: '[N, 3, H, W]',
        received: pixels.shape,
        path: 'pixels',
      });
    }
    const { startId } = this.config.text;
    if (!ids) return Array.from({ length: pictures }, () => [startId]);
    const { padId } = this.tokenizer;
    const table = { rows: this.config.text.vocabulary, name: "the text decoder's table of embeddings" };
    if (ids.length === pictures && ids.every(row => row.length >= 2 && !row.includes(padId))) {
      return ids.map(row => {
        const begun = [startId, ...row.slice(1, -1)];
        checkIds(OP, begun, this.tokenizer, table);
        return begun;
      });
    }
    const expected = `${pictures} rows of at least two ids, [CLS] and [SEP], none of them padding`;
    throw new InputError({ op: OP, problem: 'ids do not fit the pictures', expected, received: ids, path: 'ids' });
  }
}

interface Models {
  readonly blip: BlipModel;
}

function isPrepared(input: Picture | readonly Picture[] | CaptionInput): input is CaptionInput {
  return typeof input === 'object' && input !== null && 'pixels' in input;
}
