/** Models that were distilled for few steps: with a pipeline's defaults they make no picture that anybody wants. */
import { Option } from 'commander';
import { kebabFlag } from './options.ts';

/** What such a model is made for. */
export interface FewSteps {
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
}

/** As the cards of sd-turbo and of LCM-LoRA have it. */
const TURBO: FewSteps = { numInferenceSteps: 1, guidanceScale: 0 };
const LCM: FewSteps = { numInferenceSteps: 4, guidanceScale: 1 };

/**
 * What a model is made for, where that is few steps.
 * @param model its folder, file or Hub id
 * @param config of its sampler, as scheduler_config.json has it
 */
function fewStepsOf(model: string, config: Readonly<Record<string, unknown>>): FewSteps | undefined {
  if (config['_class_name'] === 'LCMScheduler') return LCM;
  const isTurbo = /turbo/i.test(model) && config['timestep_spacing'] === 'trailing';
  return isTurbo ? TURBO : undefined;
}

/** The option that says whether they are taken. */
export function fewStepsOption(): Option {
  return new Option(
    '--preset <name>',
    'recommended: models distilled for few steps (turbo, LCM) make as many as they are for, unless told; diffusers: the defaults named here for all',
  )
    .choices(['recommended', 'diffusers'])
    .default('recommended');
}

/**
 * Settings of options that were not given.
 * @param given whether an option of this name was
 * @param note told in one line what is taken
 */
export function fewSteps(
  { model, preset, config }: { readonly model: string; readonly preset: string; readonly config: object },
  given: (name: string) => boolean,
  note: (line: string) => void,
): Partial<FewSteps> {
  const wanted = preset === 'diffusers' ? undefined : fewStepsOf(model, config as Readonly<Record<string, unknown>>);
  const isGiven = (name: string): boolean =>
    given(name) || (name === 'numInferenceSteps' && (given('timesteps') || given('sigmas')));
  const taken = Object.entries(wanted ?? {}).filter(([name]) => !isGiven(name));
  if (taken.length === 0) return {};
  const said = taken.map(([name, value]) => `${kebabFlag(name)} ${value}`).join(' ');
  note(`A model for few steps: ${said} (--preset diffusers takes none).`);
  return Object.fromEntries(taken);
}
