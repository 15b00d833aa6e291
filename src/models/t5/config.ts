/**
 * Config of T5, read from its config.json: the original layout (ReLU, tied embeddings) and version 1.1 (gated GELU, a head of
 * its own), which Flan-T5 has. A field that a file leaves out has the default of the class that wrote the file.
 */
import { ConfigReader } from '../config-reader.ts';

/** Names of the functions in the feed-forward networks; gelu_new is the tanh approximation. */
export type T5Activation = 'relu' | 'gelu' | 'gelu_new' | 'silu';
const ACTIVATIONS: readonly T5Activation[] = ['relu', 'gelu', 'gelu_new', 'silu'];

/** What the networks need to know of a T5 folder. */
export interface T5Config {
  /** Number of ids: V. */
  readonly vocabulary: number;
  /** Width of the residual stream: D. */
  readonly width: number;
  /** Width of a head; all heads together need not be as wide as the stream. */
  readonly headWidth: number;
  /** Attention heads; with their width they need not make up the model's width. */
  readonly heads: number;
  /** Width inside the feed-forward networks. */
  readonly hiddenWidth: number;
  /** Transformer blocks of the encoder. */
  readonly encoderLayers: number;
  /** Transformer blocks of the decoder. */
  readonly decoderLayers: number;
  /** Function in the feed-forward networks. */
  readonly activation: T5Activation;
  /** The feed-forward network multiplies two projections, the activation on the first. */
  readonly gated: boolean;
  /** Distance classes of the attention bias. */
  readonly buckets: number;
  /** Keys farther away than this share a class. */
  readonly maxDistance: number;
  /** Added to mean squares: 1e-6. */
  readonly normEps: number;
  /** The head is the embedding table, and its input is multiplied by D^-1/2. */
  readonly tied: boolean;
  /** What every answer begins with. */
  readonly startId: number;
  /** What ends every text. */
  readonly endId: number;
  /** Fills rows behind their end. */
  readonly padId: number;
}

/** google/flan-t5-large: 783,150,080 parameters. */
export const FLAN_T5_LARGE: T5Config = {
  vocabulary: 32128,
  width: 1024,
  headWidth: 64,
  heads: 16,
  hiddenWidth: 2816,
  encoderLayers: 24,
  decoderLayers: 24,
  activation: 'gelu_new',
  gated: true,
  buckets: 32,
  maxDistance: 128,
  normEps: 1e-6,
  tied: false,
  startId: 0,
  endId: 1,
  padId: 0,
};

const FIX = 'Use the folder of a T5 or Flan-T5 model as transformers saves it.';

/**
 * Reads config.json. Fields beyond the ones below are of training or of generation and change no logit.
 * @param json the parsed file
 * @param path its name, for messages
 * @throws InputError naming field, value and path where the file is of another model or asks for what is not built
 * @see transformers T5Config
 */
export function parseT5Config(json: unknown, path: string): T5Config {
  const c = new ConfigReader('T5Config', json, path, FIX);
  c.only('model_type', 't5');
  c.only('architectures', 'T5ForConditionalGeneration', 'T5Model', 'T5WithLMHeadModel', null);
  c.only('is_encoder_decoder', true);
  c.only('quantization_config', null); // weights in another form
  const encoderLayers = c.count('num_layers', 6);
  const config: T5Config = {
    vocabulary: c.count('vocab_size', 32128),
    width: c.count('d_model', 512),
    headWidth: c.count('d_kv', 64),
    heads: c.count('num_heads', 8),
    hiddenWidth: c.count('d_ff', 2048),
    encoderLayers,
    decoderLayers: c.count('num_decoder_layers', encoderLayers),
    ...feedForward(c),
    buckets: c.count('relative_attention_num_buckets', 32, 4),
    maxDistance: c.count('relative_attention_max_distance', 128),
    normEps: c.number('layer_norm_epsilon', 1e-6),
    // transformers 5 writes the author's choice under another name and true under the old one.
    tied: c.boolean('scale_decoder_outputs', c.boolean('tie_word_embeddings', true)),
    padId: c.count('pad_token_id', 0, 0),
    endId: c.count('eos_token_id', 1, 0),
    startId: c.count('decoder_start_token_id', c.count('pad_token_id', 0, 0), 0),
  };
  const { buckets, maxDistance, vocabulary, padId, startId } = config;
  if (buckets % 4 !== 0) c.refuse('relative_attention_num_buckets', buckets, 'a multiple of 4');
  if (maxDistance <= buckets / 2) c.refuse('relative_attention_max_distance', maxDistance, `more than ${buckets / 2}`);
  if (padId >= vocabulary) c.refuse('pad_token_id', padId, `below vocab_size ${vocabulary}`);
  if (startId >= vocabulary) c.refuse('decoder_start_token_id', startId, `below vocab_size ${vocabulary}`);
  return config;
}

/** "gated-gelu" means the tanh form; files also state what it comes to, and that statement counts. */
function feedForward(c: ConfigReader): Pick<T5Config, 'activation' | 'gated'> {
  const name = c.raw('feed_forward_proj') ?? 'relu';
  if (typeof name !== 'string') c.refuse('feed_forward_proj', name, 'a name such as relu or gated-gelu');
  const [first, second, ...rest] = String(name).split('-');
  const gated = first === 'gated';
  const plain = name === 'gated-gelu' ? 'gelu_new' : gated ? second : first;
  const known = ACTIVATIONS.find(activation => activation === plain);
  if (known === undefined || rest.length > 0 || (!gated && second !== undefined)) {
    c.refuse('feed_forward_proj', name, `one of ${ACTIVATIONS.join(', ')}, or one of them behind "gated-"`);
  }
  return { activation: c.oneOf('dense_act_fn', ACTIVATIONS, known), gated: c.boolean('is_gated_act', gated) };
}
