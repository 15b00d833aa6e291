/** `--scheduler`: samplers by the names that people know, made of a folder's own config. */
import { Option } from 'commander';
import type { FolderSource } from '../core/tensor-source.ts';
import type { PipelineScheduler } from '../pipeline/image-generation/schedulers.ts';
import { readJson } from '../pipeline/runtime/read-json.ts';
import { schedulerFromConfig } from '../schedulers/by-class-name.ts';

/** Where a model folder has its sampler's config. */
const CONFIG = 'scheduler/scheduler_config.json';

interface Sampler {
  readonly className: string;
  /** Fields that make it what the name says. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

const DPM = 'DPMSolverMultistepScheduler';
/** What the names say, whatever a folder's own config does. */
const PLAIN = {
  ...{ algorithmType: 'dpmsolver++', solverOrder: 2, useKarrasSigmas: false },
  ...{ useExponentialSigmas: false, useBetaSigmas: false, useLuLambdas: false },
};
const KARRAS = { useKarrasSigmas: true };
const SDE = { algorithmType: 'sde-dpmsolver++' };

/** Names as samplers go by in programs that make pictures. */
const SAMPLERS: Readonly<Record<string, Sampler>> = {
  ddim: { className: 'DDIMScheduler' },
  ddpm: { className: 'DDPMScheduler' },
  'dpm++2m': { className: DPM, fields: PLAIN },
  'dpm++2m-karras': { className: DPM, fields: { ...PLAIN, ...KARRAS } },
  'dpm++2m-sde': { className: DPM, fields: { ...PLAIN, ...SDE } },
  'dpm++2m-sde-karras': { className: DPM, fields: { ...PLAIN, ...SDE, ...KARRAS } },
  euler: { className: 'EulerDiscreteScheduler' },
  'euler-a': { className: 'EulerAncestralDiscreteScheduler' },
  lcm: { className: 'LCMScheduler' },
  pndm: { className: 'PNDMScheduler' },
  unipc: { className: 'UniPCMultistepScheduler' },
};

/** The option. */
export function samplerOption(): Option {
  return new Option('--scheduler <name>', "sampler (default: the model's own)").choices(Object.keys(SAMPLERS));
}

/**
 * The sampler of a name, with the numbers of the folder's own config.
 * @throws InputError for a config that is missing or no JSON, and as schedulerFromConfig
 */
export async function samplerNamed(
  name: string,
  folder: FolderSource,
  onWarning: (line: string) => void,
): Promise<PipelineScheduler> {
  const { className, fields = {} } = SAMPLERS[name] as Sampler;
  const config = await readJson(folder, CONFIG, 'model', 'Pass a model folder as diffusers saves it.');
  return schedulerFromConfig({ ...config, ...fields }, className, { onWarning });
}
