/** Reads the files of a T5 folder. */
import type { FolderSource } from '../../core/tensor-source.ts';
import { type GenerationDefaults, readGenerationDefaults } from '../../generation/index.ts';
import { openCheckpoint } from '../../io/checkpoint.ts';
import { parseT5Config, type T5Config, T5Model } from '../../models/t5/index.ts';
import { T5Tokenizer } from '../../tokenizers/index.ts';
import { type OpenedNetwork, openNetwork } from '../runtime/network.ts';
import { readJson } from '../runtime/read-json.ts';
import { withSpareTensors } from '../runtime/spare-tensors.ts';

const OP = 'T5ForConditionalGeneration';

/** What the folder of a T5 holds. */
export interface T5Folder {
  /** config.json. */
  readonly config: T5Config;
  /** Absent where the folder has none. */
  readonly tokenizer: T5Tokenizer | undefined;
  /** Settings of generation. */
  readonly defaults: GenerationDefaults;
  /** Bound to their checkpoint. */
  readonly networks: { readonly t5: OpenedNetwork<T5Model> };
}

/**
 * Reads configs and tokenizer and binds the checkpoint to the model.
 * @param variant such as 'fp16'
 * @param warn told of tensors that the model has no use for: older files carry some
 * @throws InputError for a folder of another model; WeightsError listing every missing and misshapen tensor
 */
export async function openT5Folder(
  folder: FolderSource,
  variant: string | undefined,
  warn: (message: string) => void,
): Promise<T5Folder> {
  const json = await readJson(folder, 'config.json', OP);
  const config = parseT5Config(json, `${folder.label}/config.json`);
  const defaults = await readDefaults(folder, json, config);
  const hasTokenizer = (await folder.has('tokenizer.json')) || (await folder.has('spiece.model'));
  const tokenizer = hasTokenizer ? await T5Tokenizer.fromFolder(folder) : undefined;
  const source = await openCheckpoint(folder, 'model', {
    ...(variant === undefined ? {} : { variant }),
    onWarning: warn,
  });
  try {
    const make = withSpareTensors(w => new T5Model(w, config), source.label, warn);
    const t5 = openNetwork('t5', source, make);
    if (config.tied && source.tensors.has('lm_head.weight')) {
      warn(`${source.label}: config.json makes the embeddings the head; lm_head.weight is ignored`);
    }
    return { config, tokenizer, defaults, networks: { t5 } };
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

/**
 * As transformers, whose class of the config has an end and a padding id where the file has none. Answers that nothing else
 * begins begin with the padding id, as in training.
 */
async function readDefaults(folder: FolderSource, json: object, config: T5Config): Promise<GenerationDefaults> {
  const file = 'generation_config.json';
  const own = (await folder.has(file)) ? await readJson(folder, file, OP) : undefined;
  const model = { eos_token_id: config.endId, pad_token_id: config.padId, ...json };
  const found = readGenerationDefaults(own, model);
  return found.bosTokenId == null ? { decoderStartTokenId: config.startId, ...found } : found;
}
