/** What T5 and BLIP do alike: inputs are encoded once, then a decoder writes texts about them. How ids are chosen is in src/generation. */
import {
  type GenerateOptions,
  type GenerateOutput,
  type GenerationInputs,
  generate,
  planGeneration,
  type StepDecoder,
  withTokenText,
} from '../../generation/index.ts';
import type { TextTokenizer } from '../../tokenizers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import type { Network } from '../runtime/network.ts';
import type { CallOptions } from '../runtime/progress.ts';
import { type Encoding, LatestEncoding } from './latest-encoding.ts';

/** Inputs on the device, and decoders that look at them. */
export interface EncodedInputs extends Encoding {
  /** Begins texts: row r about input floor(r * N / rows). */
  start(rows: number, maxLength: number): Promise<StepDecoder>;
}

/** Inputs of a call, before they are on the device. */
export interface InputsToEncode<E> {
  /** Tells shapes apart: what was made for one serves all of that shape. */
  readonly key: string;
  /** Compiles what encodes inputs of the shape. */
  make(call: DeviceCall): Promise<E>;
  /** Encodes these. */
  encode(encoding: E): void | Promise<void>;
}

/** Options of `generate` without those of one model. */
export type WriteOptions = GenerateOptions & CallOptions & { readonly cleanUp?: boolean | undefined };

/** What a model asks for texts. */
export interface Writer<I> {
  /**
   * Writes texts about inputs: numReturnSequences for each, one after the other.
   * @param tokenizer of the texts; without one there are none
   * @throws InputError before weights are loaded; DeviceError for a busy or disposed model; the signal's reason
   */
  write(
    task: GenerationInputs,
    options: WriteOptions,
    tokenizer: TextTokenizer | undefined,
    input: I,
  ): Promise<GenerateOutput & { readonly texts: string[] }>;
}

/** A network that writes, and what it encoded last. */
export class TextWriter<I, E extends EncodedInputs> implements Writer<I> {
  readonly #device: DeviceModel<unknown>;
  readonly #network: Network<unknown>;
  readonly #toEncode: (input: I) => InputsToEncode<E>;
  readonly #latest: LatestEncoding<E>;

  /** @param toEncode how inputs come to the device */
  constructor(device: DeviceModel<unknown>, network: Network<unknown>, toEncode: (input: I) => InputsToEncode<E>) {
    this.#device = device;
    this.#network = network;
    this.#toEncode = toEncode;
    this.#latest = new LatestEncoding(network);
  }

  /** As the interface says. */
  async write(
    task: GenerationInputs,
    options: WriteOptions,
    tokenizer: TextTokenizer | undefined,
    input: I,
  ): Promise<GenerateOutput & { readonly texts: string[] }> {
    const { cleanUp, onProgress, ...own } = options;
    const settings = withTokenText(own, task.defaults ?? {}, tokenizer);
    planGeneration(task, settings); // refuses what makes no sense
    return this.#device.call('generate', { signal: options.signal, onProgress }, async call => {
      const encoding = await this.#encode(call, this.#toEncode(input));
      const output = await generate({ ...task, startDecoder: (...sizes) => encoding.start(...sizes) }, settings);
      const decoding = { skipSpecialTokens: true, ...(cleanUp === undefined ? {} : { cleanUp }) };
      return { ...output, texts: tokenizer?.decodeBatch(output.sequences, decoding) ?? [] };
    });
  }

  async #encode(call: DeviceCall, inputs: InputsToEncode<E>): Promise<E> {
    await call.use(this.#network);
    const encoding = await this.#latest.take(inputs.key, () => inputs.make(call));
    call.check();
    await inputs.encode(encoding);
    return encoding;
  }
}
