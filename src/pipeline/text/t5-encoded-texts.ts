/** Encoded texts on the device, and decoders that look at them. */
import type { Sequences, StepDecoder } from '../../generation/index.ts';
import type { T5Model } from '../../models/t5/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceMemory } from '../runtime/device-memory.ts';
import { DeviceProgram } from '../runtime/device-program.ts';
import { CachedDecoder, type CachedNetwork, type DecoderSizes } from './cached-decoder.ts';
import { type HeldDecoder, LatestDecoder } from './latest-decoder.ts';
import { additive, type EncoderInput, isPadded } from './t5-masks.ts';

interface TextTensors {
  /** uint32 [N, S] */
  readonly ids: DeviceTensor;
  /** f32 [N, S]; absent where nothing is padded. */
  readonly keyMask: DeviceTensor | undefined;
  /** Keys and values of every block of the decoder, [N, S, ...]. */
  readonly keyValues: readonly DeviceTensor[];
}

/** Decoder of some rows, and their mask [rows, S]. */
interface Answers extends HeldDecoder {
  readonly keyMask: DeviceTensor | undefined;
}

/** A batch of texts of one shape. Encoding again replaces them. */
export class EncodedTexts {
  /** Tells shapes apart. */
  readonly key: string;
  readonly #memory: DeviceMemory;
  readonly #model: T5Model;
  readonly #program: DeviceProgram<TextTensors>;
  #mask: Sequences = [];
  readonly #decoder: LatestDecoder<Answers> = new LatestDecoder();

  private constructor(memory: DeviceMemory, model: T5Model, key: string, program: DeviceProgram<TextTensors>) {
    this.#memory = memory;
    this.#model = model;
    this.key = key;
    this.#program = program;
  }

  /** The key of the encoding that serves such an input. */
  static keyOf({ ids, mask }: EncoderInput): string {
    return `${ids.length}x${ids[0]?.length ?? 0}${isPadded(mask) ? ' masked' : ''}`;
  }

  /** Compiles the encoder, and the projections of its rows to keys and values, once for all texts and steps. */
  static async create(memory: DeviceMemory, model: T5Model, input: EncoderInput): Promise<EncodedTexts> {
    const key = EncodedTexts.keyOf(input);
    const shape = [input.ids.length, input.ids[0]?.length ?? 0];
    const program = await DeviceProgram.compile(memory, `t5 encoder ${key}`, (graph, scope) => {
      const ids = scope.tensor(shape, 'uint32', 'input ids');
      const keyMask = isPadded(input.mask) ? scope.tensor(shape, 'float32', 'input mask') : undefined;
      const rows = model.encoder.forward(graph.input(ids), keyMask && graph.input(keyMask));
      const pairs = model.decoder.context(rows);
      const keyValues = pairs.map(({ tensor }, i) => scope.store(graph, tensor, `input keys and values ${i}`));
      return { ids, keyMask, keyValues };
    });
    return new EncodedTexts(memory, model, key, program);
  }

  /** @param input of this key */
  encode({ ids, mask }: EncoderInput): void | Promise<void> {
    const { io } = this.#program;
    io.ids.write(ids.flat());
    io.keyMask?.write(additive(mask));
    this.#mask = mask;
    return this.#program.run();
  }

  /**
   * Begins answers: row r to input floor(r * N / rows). Answers of an earlier call lose their caches.
   * @param rows a multiple of N
   * @param maxLength longest answer in ids
   */
  async start(rows: number, maxLength: number): Promise<StepDecoder> {
    const { cached, keyMask } = this.#decoder.take(rows, maxLength, sizes => this.#open(sizes));
    const each = rows / this.#mask.length;
    keyMask?.write(additive(Array.from({ length: rows }, (_, r) => this.#mask[Math.floor(r / each)] ?? [])));
    return cached.begin();
  }

  /** Frees the encoder's program and the decoder. */
  dispose(): void {
    this.#decoder.dispose();
    this.#program.dispose();
  }

  #open(sizes: DecoderSizes): Answers {
    const [memory, model] = [this.#memory, this.#model];
    const { keyValues, ids, keyMask: masked } = this.#program.io;
    const [inputs, length] = [ids.shape[0] ?? 1, ids.shape[1] ?? 1];
    const scope = memory.scope();
    try {
      const keyMask = masked && scope.tensor([sizes.rows, length], 'float32', 'input mask of the answers');
      const network: CachedNetwork = {
        name: 't5 decoder',
        vocab: model.config.vocabulary,
        blocks: keyValues.length,
        cacheWidth: model.decoder.cacheWidth,
        inputs,
        step: (tokens, place): Tensor => {
          const { graph } = tokens;
          const context = {
            keyValues: keyValues.map(tensor => ({ tensor: graph.input(tensor) })),
            keyMask: keyMask && graph.input(keyMask),
          };
          return model.decoder.step(tokens, context, place);
        },
      };
      const cached = new CachedDecoder(memory, network, sizes);
      const dispose = (): void => {
        cached.dispose();
        scope.dispose();
      };
      return { cached, keyMask, dispose };
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }
}
