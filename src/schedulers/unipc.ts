/** UniPC as a multistep solver. Its weights are in unipc-weights.ts, levels and runs in variance-preserving.ts. */
import {
  type ConfigKind,
  configFrom,
  type FromConfigOptions,
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { INTERCHANGEABLE } from './foreign-fields.ts';
import { type Blend, type Bounds, boundsOf, keptIn, type LinearStep, SAMPLE, UNBOUNDED } from './linear-step.ts';
import { type Course, checkSetting, orNull, type Run, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { sigmaSpacing } from './sigmas.ts';
import { uniUpdate } from './unipc-weights.ts';
import { converted, type Level, levelOf, solverCourse, solverStep, solverTimesteps } from './variance-preserving.ts';

/** Settings of UniPCMultistepScheduler, with diffusers' meaning. */
export interface UniPCMultistepFields extends ScheduleFields {
  /** Model outputs that a step goes by, >= 1. Default 2. */
  readonly solverOrder: number;
  /** Clamps the predicted clean sample at a quantile of its magnitudes, where that is what is solved for. Default false. */
  readonly thresholding: boolean;
  /** That quantile, 0 to 1. Default 0.995. */
  readonly dynamicThresholdingRatio: number;
  /** Upper bound of the threshold, whose lower bound is 1. Default 1. */
  readonly sampleMaxValue: number;
  /** Solves for clean samples; else for noise. Default true. */
  readonly predictX0: boolean;
  /** The function B(h) of the paper: h, or exp(h) - 1. Default 'bh2'. */
  readonly solverType: 'bh1' | 'bh2';
  /** Lowers the order towards the end. Default true. */
  readonly lowerOrderFinal: boolean;
  /** Numbers of steps whose result is not corrected. Default none. */
  readonly disableCorrector: readonly number[];
  /** Only null: a predictor of another class. */
  readonly solverP: null;
  /** Levels spaced as Karras et al. have them. Default false. */
  readonly useKarrasSigmas: boolean | null;
  /** Levels evenly spaced in their logarithms. Default false. */
  readonly useExponentialSigmas: boolean | null;
  /** Levels at quantiles of a beta distribution. Default false. */
  readonly useBetaSigmas: boolean | null;
  /** Only false: of flow matching models. */
  readonly useFlowSigmas: boolean | null;
  /** Without part, as useFlowSigmas is false. Default 1. */
  readonly flowShift: number | null;
  /** The level behind the last step: 0, or the lowest of training. Default 'zero'. */
  readonly finalSigmasType: 'zero' | 'sigma_min';
  /** Rescales the betas so that the last level holds next to no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

const isCounts = (value: unknown): boolean => Array.isArray(value) && value.every(Number.isInteger);

const UNIPC: ConfigKind<UniPCMultistepFields> = {
  className: 'UniPCMultistepScheduler',
  defaults: {
    ...SCHEDULE_DEFAULTS,
    solverOrder: 2,
    thresholding: false,
    dynamicThresholdingRatio: 0.995,
    sampleMaxValue: 1,
    predictX0: true,
    solverType: 'bh2',
    lowerOrderFinal: true,
    disableCorrector: [],
    solverP: null,
    useKarrasSigmas: false,
    useExponentialSigmas: false,
    useBetaSigmas: false,
    useFlowSigmas: false,
    flowShift: 1,
    finalSigmasType: 'zero',
    rescaleBetasZeroSnr: false,
  },
  compatible: INTERCHANGEABLE,
  values: {
    disable_corrector: { expected: 'a list of whole numbers', fits: isCounts },
    solver_p: { expected: 'null, as no other class predicts here', fits: value => value === null },
    use_karras_sigmas: orNull('boolean'),
    use_exponential_sigmas: orNull('boolean'),
    use_beta_sigmas: orNull('boolean'),
    use_flow_sigmas: orNull('boolean'),
    flow_shift: orNull('number'),
  },
};

/** The config with this solver's name for what other solvers have, as diffusers registers it. */
function settled(config: SchedulerConfig<UniPCMultistepFields>): SchedulerConfig<UniPCMultistepFields> {
  const isForeign = ['midpoint', 'heun', 'logrho'].includes(config.solverType);
  return isForeign ? configFrom(UNIPC, config, { solverType: 'bh2' }) : config;
}

/**
 * Unified predictor-corrector: each output of the model first corrects the sample that it was made of, then predicts the next.
 * @see Zhao et al. 2023, https://arxiv.org/abs/2302.04867; diffusers UniPCMultistepScheduler
 */
export class UniPCMultistepScheduler extends SigmaScheduler<UniPCMultistepFields> {
  readonly keptSlots: number;
  private readonly bounds: Bounds;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<UniPCMultistepFields> | SchedulerConfig = {}) {
    super(settled(configOf(UNIPC, fields)));
    const { config: c } = this;
    const check = (path: string, value: unknown, allowed: readonly unknown[]): void =>
      checkSetting(UNIPC.className, path, value, allowed);
    check('prediction_type', c.predictionType, ['epsilon', 'sample', 'v_prediction']);
    check('solver_type', c.solverType, ['bh1', 'bh2']);
    check('solver_order', c.solverOrder, [1, 2, 3, 4]);
    // Both divide by the last level where it holds no noise.
    const finite = c.predictX0 && (c.lowerOrderFinal || c.solverOrder === 1);
    check('final_sigmas_type', c.finalSigmasType, finite ? ['zero', 'sigma_min'] : ['sigma_min']);
    check('use_flow_sigmas', c.useFlowSigmas ?? false, [false]);
    sigmaSpacing(UNIPC.className, c);
    this.keptSlots = c.solverOrder + 1;
    this.bounds = c.predictX0 ? boundsOf(c) : UNBOUNDED;
  }

  /**
   * A scheduler with the settings of another scheduler's config, or of a parsed scheduler_config.json.
   * @param source `other.config`, or JSON
   * @param overrides settings that win over the source's
   * @param options where warnings go
   * @returns a new scheduler
   * @throws InputError when the source is no object, or as the constructor
   * @see configFrom for the rules
   */
  static fromConfig(
    source: SchedulerConfig | SchedulerJson,
    overrides: Partial<UniPCMultistepFields> = {},
    options: FromConfigOptions = {},
  ): UniPCMultistepScheduler {
    return new UniPCMultistepScheduler(configFrom(UNIPC, source, overrides, options));
  }

  protected override courseOf(run: Run): Course {
    const { config, table } = this;
    const { numInferenceSteps } = runOptions(UNIPC.className, run, []);
    const spacing = sigmaSpacing(UNIPC.className, config);
    const count = numInferenceSteps as number;
    const timesteps = solverTimesteps(count, config, this.length);
    const least = (sigma: number): number => (spacing ? sigma : (table[0] ?? 0));
    const last = (sigma: number): number => (config.finalSigmasType === 'zero' ? 0 : least(sigma));
    return solverCourse({ count, timesteps, spacing, table, rounds: spacing === 'karras', last });
  }

  /** Slots 0 to order - 1 hold converted outputs, the latest first, and the one behind them the sample that was predicted from. */
  protected override stepsOf({ timesteps, sigmas }: Course, from: number): LinearStep[] {
    const { config, bounds, keptSlots: slots } = this;
    const { solverOrder, predictX0, solverType, lowerOrderFinal, disableCorrector } = config;
    const levels = sigmas.map(levelOf);
    const at = (i: number): Level => levels[i] as Level;
    const kept = Array.from({ length: solverOrder }, (_, slot) => keptIn(slot));
    let order = 0;
    return timesteps.slice(from).map((timestep, k) => {
      const i = from + k;
      const output = converted(config, at(i), bounds, !predictX0);
      const update = (start: number, sample: Blend, outputs: readonly Blend[], reached?: Blend): Blend =>
        uniUpdate({
          ...{ predictX0, solverType, from: at(start), to: at(start + 1), sample },
          outputs: outputs.slice(0, order),
          earlier: Array.from({ length: order - 1 }, (_, back) => at(start - 1 - back)),
          ...(reached ? { reached } : {}),
        });
      const corrects = k > 0 && !disableCorrector.includes(i - 1);
      const sample = corrects ? update(i - 1, keptIn(solverOrder), kept, output) : SAMPLE;
      const most = lowerOrderFinal ? Math.min(solverOrder, timesteps.length - i) : solverOrder;
      order = Math.min(most, k + 1);
      const outputs = [output, ...kept].slice(0, solverOrder);
      const next = update(i, sample, outputs);
      return solverStep(config, { timestep, level: at(i), bounds, next, keep: [...outputs, sample], slots });
    });
  }
}
