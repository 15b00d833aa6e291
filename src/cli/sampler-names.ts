/** `--scheduler`: samplers by the names that people know, made of a folder's own config. */
import { Option } from 'commander';
import type { FolderSource } from '../core/tensor-source.ts';
import type { PipelineScheduler } from '../pipeline/image-generation/schedulers.ts';
import { type AnyScheduler, schedulerFromConfig } from '../schedulers/by-class-name.ts';
import type { SchedulerConfig, SchedulerJson } from '../schedulers/config.ts';

/** Where a model folder has its sampler's config. */
const CONFIG = 'scheduler/scheduler_config.json';

interface Sampler {
  readonly className: string;
  /** Fields that make it what the name says. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

const DPM = 'DPMSolverMultistepScheduler';
const KARRAS = { useKarrasSigmas: true };
const SDE = { algorithmType: 'sde-dpmsolver++' };

/** Names as samplers go by in programs that make pictures. */
const SAMPLERS: Readonly<Record<string, Sampler>> = {
  ddim: { className: 'DDIMScheduler' },
  ddpm: { className: 'DDPMScheduler' },
  'dpm++2m': { className: DPM },
  'dpm++2m-karras': { className: DPM, fields: KARRAS },
  'dpm++2m-sde': { className: DPM, fields: SDE },
  'dpm++2m-sde-karras': { className: DPM, fields: { ...SDE, ...KARRAS } },
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
 * @throws InputError as schedulerFromConfig
 */
export async function samplerNamed(
  name: string,
  folder: FolderSource,
  onWarning: (line: string) => void,
): Promise<PipelineScheduler> {
  const { className, fields = {} } = SAMPLERS[name] as Sampler;
  const config = JSON.parse(await folder.text(CONFIG)) as SchedulerJson;
  const made = await schedulerFromConfig(config, className, { onWarning });
  if (Object.keys(fields).length === 0) return made;
  return (made.constructor as unknown as Rebuilt).fromConfig(made.config, fields);
}

interface Rebuilt {
  fromConfig(source: SchedulerConfig, fields: Readonly<Record<string, unknown>>): AnyScheduler;
}
