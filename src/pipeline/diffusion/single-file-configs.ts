/** The JSON files of a single-file checkpoint's folder: given, or written from shapes, a training config and the file's metadata. */
import type { FolderSource, TensorSource } from '../../core/tensor-source.ts';
import { parseVaeConfig, vaeScaleFactor } from '../../models/stable-diffusion/config.ts';
import type { LdmCheckpoint } from '../../models/stable-diffusion/ldm-checkpoint.ts';
import {
  type ConfigJson,
  schedulerConfigOf,
  textConfigOf,
  unetConfigOf,
  vaeConfigOf,
} from '../../models/stable-diffusion/ldm-configs.ts';
import { type LdmTrainingConfig, parseLdmTrainingConfig } from '../../models/stable-diffusion/ldm-training-config.ts';
import { DIFFUSERS_VERSION, type PredictionType } from '../../schedulers/config.ts';
import { readJson } from '../runtime/read-json.ts';

/** What may decide about configs. */
interface ConfigChoices {
  readonly config?: FolderSource | undefined;
  readonly originalConfig?: Readonly<Record<string, unknown>> | undefined;
  readonly predictionType?: PredictionType | undefined;
}

const CONFIGS = ['unet/config.json', 'vae/config.json', 'text_encoder/config.json'];
const SCHEDULER = 'scheduler/scheduler_config.json';
/** Parts of a pipeline that no single file holds. */
const NOT_IN_FILE = {
  ...{ feature_extractor: [null, null], image_encoder: [null, null], safety_checker: [null, null] },
  requires_safety_checker: false,
};
const INDEX = {
  _class_name: 'StableDiffusionPipeline',
  _diffusers_version: DIFFUSERS_VERSION,
  ...NOT_IN_FILE,
  scheduler: ['diffusers', 'DDIMScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
};

/**
 * Every JSON file of the folder but the tokenizer's, by its path.
 * @param tensors the file: its metadata may tell the prediction type
 * @param choices the caller's configs come before what the file says
 * @param warn told of a guess
 * @throws InputError for configs that do not belong to the file
 */
export async function singleFileConfigs(
  tensors: TensorSource,
  checkpoint: LdmCheckpoint,
  choices: ConfigChoices,
  warn: (message: string) => void,
): Promise<Map<string, string>> {
  const { originalConfig, config } = choices;
  const training =
    originalConfig === undefined
      ? undefined
      : parseLdmTrainingConfig(originalConfig, 'originalConfig', checkpoint.version);
  const jsons =
    config === undefined
      ? written(tensors, checkpoint, training, choices, warn)
      : await given(config, choices.predictionType ?? training?.predictionType);
  return new Map([...jsons].map(([path, json]) => [path, asText(json)]));
}

/** The files of a folder of diffusers, and with the prediction type that the caller says. */
async function given(folder: FolderSource, prediction: PredictionType | undefined): Promise<Map<string, ConfigJson>> {
  const read = (path: string): Promise<ConfigJson> => readJson(folder, path, 'openSingleFile');
  const jsons = new Map<string, ConfigJson>();
  const index = (await folder.has('model_index.json')) ? await read('model_index.json') : INDEX;
  jsons.set('model_index.json', { ...index, ...NOT_IN_FILE });
  for (const path of CONFIGS) jsons.set(path, await read(path));
  const scheduler = await read(SCHEDULER);
  jsons.set(SCHEDULER, prediction === undefined ? scheduler : { ...scheduler, prediction_type: prediction });
  const inverse = 'inverse_scheduler/scheduler_config.json';
  if (await folder.has(inverse)) jsons.set(inverse, await read(inverse));
  return jsons;
}

function written(
  tensors: TensorSource,
  checkpoint: LdmCheckpoint,
  training: LdmTrainingConfig | undefined,
  { predictionType }: ConfigChoices,
  warn: (message: string) => void,
): Map<string, ConfigJson> {
  const { label: path } = tensors;
  const prediction =
    predictionType ?? training?.predictionType ?? toldByFile(tensors) ?? guessed(checkpoint.version, path, warn);
  // The 2.x models that predict v were trained on larger pictures.
  const imageSize = checkpoint.version === 2 && prediction === 'v_prediction' ? 768 : 512;
  const facts = { path, imageSize, training };
  const vae = vaeConfigOf(checkpoint, facts);
  const factor = vaeScaleFactor(parseVaeConfig(vae, `${path}/vae/config.json`));
  const version = { _diffusers_version: DIFFUSERS_VERSION };
  return new Map<string, ConfigJson>([
    ['model_index.json', INDEX],
    ['unet/config.json', { ...unetConfigOf(checkpoint, facts, factor), ...version }],
    ['vae/config.json', { ...vae, ...version }],
    ['text_encoder/config.json', textConfigOf(checkpoint, facts)],
    [SCHEDULER, { ...schedulerConfigOf(prediction, training), ...version }],
  ]);
}

/** Trainers of today leave the prediction type in the metadata (Stability AI's model spec), or an empty tensor called v_pred. */
function toldByFile(source: TensorSource): PredictionType | undefined {
  const metadata = 'metadata' in source ? (source.metadata as Readonly<Record<string, string>>) : {};
  const told = metadata['modelspec.prediction_type'];
  if (told === 'v' || told === 'v_prediction' || source.tensors.has('v_pred')) return 'v_prediction';
  return told === 'epsilon' ? told : undefined;
}

function guessed(version: 1 | 2, path: string, warn: (message: string) => void): PredictionType {
  const said = `${path} does not say what its UNet predicts`;
  if (version === 1) {
    warn(`${said}: epsilon is assumed, as for Stable Diffusion 1.x. If it is another, give predictionType.`);
    return 'epsilon';
  }
  warn(
    `${said}: v_prediction is assumed, at 768 pixels, as diffusers does for Stable Diffusion 2.x. ` +
      "For a 512-pixel base model give predictionType: 'epsilon'.",
  );
  return 'v_prediction';
}

function asText(json: ConfigJson): string {
  const sorted = Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
}
