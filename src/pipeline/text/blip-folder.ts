/** Reads a BLIP folder as transformers saves it: configs, tokenizer, checkpoint. */
import type { FolderSource } from '../../core/tensor-source.ts';
import { type GenerationDefaults, readGenerationDefaults } from '../../generation/index.ts';
import { openCheckpoint } from '../../io/checkpoint.ts';
import { type BlipConfig, BlipModel, parseBlipConfig } from '../../models/blip/index.ts';
import { BertTokenizer } from '../../tokenizers/index.ts';
import { type OpenedNetwork, openNetwork } from '../runtime/network.ts';
import { readJson } from '../runtime/read-json.ts';
import { withSpareTensors } from '../runtime/spare-tensors.ts';
import { BLIP_PROCESSOR, type BlipProcessorConfig, parseBlipProcessor } from './blip-processor.ts';

const OP = 'BlipForConditionalGeneration.fromPretrained';

/** What the folder of a captioner holds. */
export interface BlipFolder {
  /** config.json. */
  readonly config: BlipConfig;
  /** preprocessor_config.json, or the published values. */
  readonly processor: BlipProcessorConfig;
  /** Of the captions. */
  readonly tokenizer: BertTokenizer;
  /** Settings of generation, of the text decoder. */
  readonly defaults: GenerationDefaults;
  /** Bound to their checkpoint. */
  readonly networks: { readonly blip: OpenedNetwork<BlipModel> };
}

/**
 * Opens everything and checks that checkpoint and config belong together.
 * @throws InputError for a folder that is no captioner's; WeightsError for checkpoints
 */
export async function openBlipFolder(
  folder: FolderSource,
  variant: string | undefined,
  warn: (message: string) => void,
): Promise<BlipFolder> {
  const read = (name: string): Promise<Record<string, unknown>> => readJson(folder, name, OP);
  const json = await read('config.json');
  const config = parseBlipConfig(json, `${folder.label}/config.json`, warn);
  const prepared = 'preprocessor_config.json';
  const processor = (await folder.has(prepared))
    ? parseBlipProcessor(await read(prepared), `${folder.label}/${prepared}`)
    : BLIP_PROCESSOR;
  const tokenizer = await BertTokenizer.fromFolder(folder);
  // The text decoder's part of the config counts; a generation_config.json is for the whole model, which never generates.
  const own = readGenerationDefaults(undefined, (json['text_config'] ?? {}) as Record<string, unknown>);
  const { startId, endId, padId } = config.text;
  const defaults = { ...own, bosTokenId: startId, eosTokenId: endId, padTokenId: padId };
  const source = await openCheckpoint(folder, 'model', {
    ...(variant === undefined ? {} : { variant }),
    onWarning: warn,
  });
  try {
    const make = withSpareTensors(w => new BlipModel(w, config), source.label, warn);
    return { config, processor, tokenizer, defaults, networks: { blip: openNetwork('blip', source, make) } };
  } catch (error) {
    await source.close?.();
    throw error;
  }
}
