/** What T5 and BLIP do alike: inputs are encoded once, then a decoder writes texts about them. How ids are chosen is in src/generation. */
import {
  type GenerateOptions,
  type GenerateOutput,
  type GenerationInputs,
  generate,
  planGeneration,
  type StartDecoder,
  type StepDecoder,
  withTokenText,
} from '../../generation/index.ts';
import type { TextTokenizer } from '../../tokenizers/index.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import type { CallPlan } from '../runtime/memory-plan.ts';
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
  /**
   * What `write` would take where no text ends before its longest length, or the model's last position: device and host memory, kernel calls, arithmetic.
   * @throws InputError as write; DeviceError for what the device would refuse
   */
  plan(
    task: GenerationInputs,
    options: WriteOptions,
    tokenizer: TextTokenizer | undefined,
    input: I,
  ): Promise<CallPlan>;
}

/** A network that writes, and what it encoded last. */
export class TextWriter<N, I, E extends EncodedInputs> implements Writer<I> {
  readonly #device: DeviceModel<Readonly<Record<string, N>>>;
  readonly #network: Network<N>;
  readonly #toEncode: (input: I, network: Network<N>) => InputsToEncode<E>;
  readonly #latest: LatestEncoding<E>;

  /**
   * @param device of one network
   * @param toEncode how inputs come to the device
   */
  constructor(
    device: DeviceModel<Readonly<Record<string, N>>>,
    toEncode: (input: I, network: Network<N>) => InputsToEncode<E>,
  ) {
    this.#device = device;
    this.#network = onlyOne(device.networks);
    this.#toEncode = toEncode;
    this.#latest = new LatestEncoding(this.#network);
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
    const { maxLength, promptLength } = planGeneration(task, settings); // refuses what makes no sense
    return this.#device.call('generate', { signal: options.signal, onProgress }, async call => {
      // Where the device is lost, the texts are drawn again from there.
      const kept = call.kept.phase('generate', settings.generator);
      await call.use(this.#network);
      const report = call.phase('text', maxLength - promptLength);
      let written = 0;
      const onStep = (): void => {
        written++;
        if (kept.isNew(written)) report.done(written);
      };
      const encoding = await this.#encode(call, input);
      const startDecoder: StartDecoder = async (...sizes) => counting(await encoding.start(...sizes), onStep);
      const output = await generate({ ...task, startDecoder }, settings);
      report.done(written, { of: written });
      const decoding = { skipSpecialTokens: true, ...(cleanUp === undefined ? {} : { cleanUp }) };
      return { ...output, texts: tokenizer?.decodeBatch(output.sequences, decoding) ?? [] };
    });
  }

  /** As the interface says. */
  async plan(
    task: GenerationInputs,
    options: WriteOptions,
    tokenizer: TextTokenizer | undefined,
    input: I,
  ): Promise<CallPlan> {
    const { cleanUp: _, onProgress: __, ...own } = options;
    const { maxPositions = Number.POSITIVE_INFINITY } = task;
    // What the caller wrote is not asked, and the caller's stream is not drawn from. A text that fills the model's positions has to end.
    const quiet = {
      ...{
        onToken: undefined,
        logitsProcessor: undefined,
        stoppingCriteria: [(ids: readonly number[]) => ids.length > maxPositions],
        prefixAllowedTokensFn: undefined,
      },
      ...{ generator: undefined, maxTime: null, stopStrings: null, eosTokenId: null },
    };
    const settings = withTokenText({ ...own, ...quiet }, task.defaults ?? {}, tokenizer);
    planGeneration(task, settings);
    const toEncode = this.#toEncode;
    return this.#device.plan(
      async function* (call, networks) {
        const network = onlyOne(networks);
        const phase = call.phase('text', 1);
        await call.use(network);
        const inputs = toEncode(input, network);
        const encoding = await inputs.make(call);
        try {
          await inputs.encode(encoding);
          await generate({ ...task, startDecoder: (...sizes) => encoding.start(...sizes) }, settings);
          phase.done(1);
          yield phase;
        } finally {
          encoding.dispose();
        }
      },
      { signal: options.signal },
    );
  }

  async #encode(call: DeviceCall, input: I): Promise<E> {
    const inputs = this.#toEncode(input, this.#network);
    const encoding = await this.#latest.take(inputs.key, () => inputs.make(call));
    call.check();
    await inputs.encode(encoding);
    return encoding;
  }
}

/** A decoder that tells of every id that it has found for its rows. */
function counting(decoder: StepDecoder, onStep: () => void): StepDecoder {
  const told = <A extends unknown[], R>(work: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) => {
    return async (...args) => {
      const result = await work(...args);
      onStep();
      return result;
    };
  };
  const { vocab, rows } = decoder;
  return {
    ...{ vocab, rows, dispose: () => decoder.dispose() },
    prefill: told(ids => decoder.prefill(ids)),
    step: told((tokens, reorder) => decoder.step(tokens, reorder)),
    ...(decoder.greedyStep && {
      greedyStep: told(tokens => decoder.greedyStep?.(tokens) as Promise<readonly number[]>),
    }),
  };
}

/** The network of a model that has one. */
function onlyOne<N>(networks: Readonly<Record<string, Network<N>>>): Network<N> {
  const [network] = Object.values(networks);
  return network as Network<N>;
}
