/**
 * Config of BLIP's captioner, read from its config.json. What a file leaves out has the values of the published base model,
 * which every shortened file means: the class that writes such files states 8 heads for the text decoder, but all published
 * models were trained with 12.
 */
import { ConfigReader } from '../config-reader.ts';

const FIX = 'Use the folder of a BLIP captioning model as transformers saves it.';

/** Names of the functions in the feed-forward networks; gelu_new is the tanh approximation, quick_gelu x sigmoid(1.702 x). */
export type BlipActivation = 'gelu' | 'gelu_new' | 'quick_gelu' | 'relu';
const ACTIVATIONS: readonly BlipActivation[] = ['gelu', 'gelu_new', 'quick_gelu', 'relu'];

/** Config of the picture's encoder, a ViT. */
export interface BlipVisionConfig {
  /** Width of a token: D. */
  readonly width: number;
  /** Width inside the feed-forward networks. */
  readonly hiddenWidth: number;
  /** Transformer blocks. */
  readonly layers: number;
  /** Attention heads; divides D. */
  readonly heads: number;
  /** Side in pixels of the pictures that the position embeddings were trained on. */
  readonly imageSize: number;
  /** Side in pixels of a patch. */
  readonly patchSize: number;
  /** Function in the feed-forward networks. */
  readonly activation: BlipActivation;
  /** Added to variances: 1e-5. */
  readonly normEps: number;
}

/** Config of the text decoder, a BERT that looks at the picture. */
export interface BlipTextConfig {
  /** Number of ids: V. */
  readonly vocabulary: number;
  /** Width of a token: D. */
  readonly width: number;
  /** Width inside the feed-forward networks. */
  readonly hiddenWidth: number;
  /** Transformer blocks. */
  readonly layers: number;
  /** Attention heads; divides D. */
  readonly heads: number;
  /** Longest caption in tokens. */
  readonly positions: number;
  /** Function in the feed-forward networks. */
  readonly activation: BlipActivation;
  /** Added to variances: 1e-12. */
  readonly normEps: number;
  /** Whether the head's matrix is that of the token embeddings. */
  readonly tied: boolean;
  /** What a caption begins with: [DEC]. */
  readonly startId: number;
  /** What ends a caption: [SEP]. The file's eos_token_id has no part in captions. */
  readonly endId: number;
  /** Fills finished rows. */
  readonly padId: number;
}

/** Config of BlipForConditionalGeneration. */
export interface BlipConfig {
  /** The picture's encoder. */
  readonly vision: BlipVisionConfig;
  /** The decoder that writes captions, a BERT with cross-attention to the pixels. */
  readonly text: BlipTextConfig;
}

/** Salesforce/blip-image-captioning-base: 223,971,644 parameters; its file holds 23,442,432 of them once more, for the head. */
export const BLIP_BASE: BlipConfig = {
  vision: {
    width: 768,
    hiddenWidth: 3072,
    layers: 12,
    heads: 12,
    imageSize: 384,
    patchSize: 16,
    activation: 'gelu',
    normEps: 1e-5,
  },
  text: {
    vocabulary: 30524,
    width: 768,
    hiddenWidth: 3072,
    layers: 12,
    heads: 12,
    positions: 512,
    activation: 'gelu',
    normEps: 1e-12,
    tied: true,
    startId: 30522,
    endId: 102,
    padId: 0,
  },
};

/**
 * Reads config.json. Fields beyond the ones below are of training or of other heads and change no caption.
 * @param json the parsed file
 * @param path its name, for messages
 * @param onWarning told of 8 heads in the text decoder, the slip of old files
 * @throws InputError naming field, value and path where the file is no captioner's or asks for what is not built
 * @see transformers BlipConfig
 */
export function parseBlipConfig(json: unknown, path: string, onWarning: (message: string) => void): BlipConfig {
  const c = new ConfigReader('BlipConfig', json, path, FIX);
  c.only('model_type', 'blip');
  c.only('architectures', 'BlipForConditionalGeneration', null);
  c.only('quantization_config', null); // weights in another form
  const vision = visionConfig(
    new ConfigReader('BlipConfig', c.raw('vision_config') ?? {}, `${path} vision_config`, FIX),
  );
  const text = textConfig(new ConfigReader('BlipConfig', c.raw('text_config') ?? {}, `${path} text_config`, FIX));
  if (text.heads === 8) {
    onWarning(
      `${path}: the text decoder has 8 heads, a slip of early files; published models were trained with 12, ` +
        'and with 8 their captions are wrong. Set text_config.num_attention_heads to 12.',
    );
  }
  return { vision, text };
}

function visionConfig(c: ConfigReader): BlipVisionConfig {
  const base = BLIP_BASE.vision;
  c.only('model_type', 'blip_vision_model');
  c.only('num_channels', 3);
  const vision = {
    ...layers(c, base),
    imageSize: c.count('image_size', base.imageSize),
    patchSize: c.count('patch_size', base.patchSize),
  };
  if (vision.patchSize > vision.imageSize) c.refuse('patch_size', vision.patchSize, `at most ${vision.imageSize}`);
  return vision;
}

function textConfig(c: ConfigReader): BlipTextConfig {
  const base = BLIP_BASE.text;
  c.only('model_type', 'blip_text_model');
  c.only('is_decoder', true);
  c.only('position_embedding_type', 'absolute');
  // Chunks change no number, and the width of the picture's rows is what the vision config says.
  c.without('chunk_size_feed_forward', 'encoder_hidden_size');
  const vocabulary = c.count('vocab_size', base.vocabulary);
  const id = (name: string, fallback: number): number => {
    const value = c.count(name, fallback, 0);
    return value < vocabulary ? value : c.refuse(name, value, `below vocab_size ${vocabulary}`);
  };
  return {
    ...layers(c, base),
    vocabulary,
    positions: c.count('max_position_embeddings', base.positions),
    tied: c.boolean('tie_word_embeddings', base.tied),
    startId: id('bos_token_id', base.startId),
    endId: c.count('sep_token_id', base.endId, 0),
    padId: id('pad_token_id', base.padId),
  };
}

type Layers = Pick<BlipTextConfig, 'width' | 'hiddenWidth' | 'layers' | 'heads' | 'activation' | 'normEps'>;

function layers(c: ConfigReader, base: Layers): Layers {
  const config: Layers = {
    width: c.count('hidden_size', base.width),
    hiddenWidth: c.count('intermediate_size', base.hiddenWidth),
    layers: c.count('num_hidden_layers', base.layers),
    heads: c.count('num_attention_heads', base.heads),
    activation: c.oneOf('hidden_act', ACTIVATIONS, base.activation),
    normEps: c.number('layer_norm_eps', base.normEps),
  };
  if (config.width % config.heads === 0) return config;
  return c.refuse('num_attention_heads', config.heads, `a divisor of hidden_size ${config.width}`);
}
