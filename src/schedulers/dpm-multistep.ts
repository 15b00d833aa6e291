/** DPM-Solver++ and its kin as multistep solvers. Their weights are in dpm-weights.ts, levels and runs in variance-preserving.ts. */
import { InputError } from '../core/errors.ts';
import {
  type ConfigKind,
  configFrom,
  type FromConfigOptions,
  type ScheduleFields,
  type SchedulerConfig,
  type SchedulerJson,
} from './config.ts';
import { type DPMAlgorithm, dpmUpdate } from './dpm-weights.ts';
import { INTERCHANGEABLE } from './foreign-fields.ts';
import { type Bounds, boundsOf, keptIn, type LinearStep } from './linear-step.ts';
import { type Course, checkSetting, givenTimesteps, orNull, type Run, runOptions } from './run.ts';
import { configOf, SCHEDULE_DEFAULTS } from './schedule-defaults.ts';
import { SigmaScheduler } from './sigma-scheduler.ts';
import { sigmaSpacing } from './sigmas.ts';
import { converted, levelOf, solverCourse, solverStep, solverTimesteps } from './variance-preserving.ts';

const f32 = Math.fround;

/** Settings of DPMSolverMultistepScheduler, with diffusers' meaning. */
export interface DPMSolverMultistepFields extends ScheduleFields {
  /** Model outputs that a step goes by, 1 to 3. Default 2. */
  readonly solverOrder: number;
  /** Clamps the predicted clean sample at a quantile of its magnitudes. Default false. */
  readonly thresholding: boolean;
  /** That quantile, 0 to 1. Default 0.995. */
  readonly dynamicThresholdingRatio: number;
  /** Upper bound of the threshold, whose lower bound is 1. Default 1. */
  readonly sampleMaxValue: number;
  /** Which is solved: for clean samples (++) or noise, without or with fresh noise (sde). Default 'dpmsolver++'. */
  readonly algorithmType: DPMAlgorithm;
  /** How a step of order 2 takes the first derivative. Default 'midpoint'. */
  readonly solverType: 'midpoint' | 'heun';
  /** Lowers the order of the last steps of runs below 15 steps. Default true. */
  readonly lowerOrderFinal: boolean;
  /** Makes the last step one of order 1. Default false. */
  readonly eulerAtFinal: boolean;
  /** Levels spaced as Karras et al. have them. Default false. */
  readonly useKarrasSigmas: boolean | null;
  /** Levels evenly spaced in their logarithms. Default false. */
  readonly useExponentialSigmas: boolean | null;
  /** Levels at quantiles of a beta distribution. Default false. */
  readonly useBetaSigmas: boolean | null;
  /** Levels evenly spaced in lambda. Default false. */
  readonly useLuLambdas: boolean | null;
  /** Only false: of flow matching models. */
  readonly useFlowSigmas: boolean | null;
  /** Without part, as useFlowSigmas is false. Default 1. */
  readonly flowShift: number | null;
  /** The level behind the last step: 0, or the lowest of training. Default 'zero'. */
  readonly finalSigmasType: 'zero' | 'sigma_min';
  /** Leaves out timesteps whose lambda is less. Default -Infinity, which JSON writes as null. */
  readonly lambdaMinClipped: number | null;
  /** Only null: models that predict a variance have twice the channels. */
  readonly varianceType: string | null;
  /** Rescales the betas so that the last level holds next to no signal. Default false. */
  readonly rescaleBetasZeroSnr: boolean;
}

const DPM: ConfigKind<DPMSolverMultistepFields> = {
  className: 'DPMSolverMultistepScheduler',
  defaults: {
    ...SCHEDULE_DEFAULTS,
    solverOrder: 2,
    thresholding: false,
    dynamicThresholdingRatio: 0.995,
    sampleMaxValue: 1,
    algorithmType: 'dpmsolver++',
    solverType: 'midpoint',
    lowerOrderFinal: true,
    eulerAtFinal: false,
    useKarrasSigmas: false,
    useExponentialSigmas: false,
    useBetaSigmas: false,
    useLuLambdas: false,
    useFlowSigmas: false,
    flowShift: 1,
    finalSigmasType: 'zero',
    lambdaMinClipped: Number.NEGATIVE_INFINITY,
    varianceType: null,
    rescaleBetasZeroSnr: false,
  },
  compatible: INTERCHANGEABLE,
  values: {
    use_karras_sigmas: orNull('boolean'),
    use_exponential_sigmas: orNull('boolean'),
    use_beta_sigmas: orNull('boolean'),
    use_lu_lambdas: orNull('boolean'),
    use_flow_sigmas: orNull('boolean'),
    flow_shift: orNull('number'),
    lambda_min_clipped: orNull('number'),
    variance_type: orNull('string'),
  },
};

/** The config with the names that other solvers have for what this one has, as diffusers registers them. */
function settled(config: SchedulerConfig<DPMSolverMultistepFields>): SchedulerConfig<DPMSolverMultistepFields> {
  const deis = (config.algorithmType as string) === 'deis';
  const foreign = ['logrho', 'bh1', 'bh2'].includes(config.solverType);
  if (!deis && !foreign) return config;
  return configFrom(DPM, config, {
    ...(deis ? { algorithmType: 'dpmsolver++' } : {}),
    ...(foreign ? { solverType: 'midpoint' } : {}),
  });
}

/**
 * DPM-Solver and DPM-Solver++, which go by the last one to three model outputs.
 * @see Lu et al. 2022, https://arxiv.org/abs/2211.01095; diffusers DPMSolverMultistepScheduler
 */
export class DPMSolverMultistepScheduler extends SigmaScheduler<DPMSolverMultistepFields> {
  readonly keptSlots: number;
  private readonly bounds: Bounds;

  /**
   * @param fields settings, or another scheduler's config; the rest by default
   * @throws InputError for a name that is no field, a value of the wrong type, or a setting that it has not
   */
  constructor(fields: Partial<DPMSolverMultistepFields> | SchedulerConfig = {}) {
    super(settled(configOf(DPM, fields)));
    const { config: c } = this;
    const { className } = DPM;
    const isData = c.algorithmType.endsWith('++');
    const check = (path: string, value: unknown, allowed: readonly unknown[]): void =>
      checkSetting(className, path, value, allowed);
    check('prediction_type', c.predictionType, ['epsilon', 'sample', 'v_prediction']);
    check('algorithm_type', c.algorithmType, ['dpmsolver', 'dpmsolver++', 'sde-dpmsolver', 'sde-dpmsolver++']);
    check('solver_type', c.solverType, ['midpoint', 'heun']);
    // The noise-predicting solvers divide by the last level; the stochastic one of them has no third order.
    check('final_sigmas_type', c.finalSigmasType, isData ? ['zero', 'sigma_min'] : ['sigma_min']);
    check('solver_order', c.solverOrder, c.algorithmType === 'sde-dpmsolver' ? [1, 2] : [1, 2, 3]);
    check('use_flow_sigmas', c.useFlowSigmas ?? false, [false]);
    check('variance_type', ['learned', 'learned_range'].includes(c.varianceType ?? '') ? c.varianceType : null, [null]);
    sigmaSpacing(className, c);
    this.keptSlots = c.solverOrder - 1;
    this.bounds = boundsOf(c);
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
    overrides: Partial<DPMSolverMultistepFields> = {},
    options: FromConfigOptions = {},
  ): DPMSolverMultistepScheduler {
    return new DPMSolverMultistepScheduler(configFrom(DPM, source, overrides, options));
  }

  protected override courseOf(run: Run): Course {
    const { timesteps: given, numInferenceSteps } = runOptions(DPM.className, run, ['timesteps']);
    const { config, table } = this;
    const spacing = sigmaSpacing(DPM.className, config);
    if (given && spacing) {
      throw new InputError({
        op: `${DPM.className}.setTimesteps`,
        problem: `timesteps do not go with ${spacing} spacing of noise levels`,
        path: 'timesteps',
        fix: 'Give the number of steps.',
      });
    }
    const timesteps = given
      ? givenTimesteps(DPM.className, given, this.length)
      : solverTimesteps(numInferenceSteps as number, config, this.lastTimestep());
    const rounds = (spacing === 'karras' || spacing === 'lu') && config.betaSchedule !== 'squaredcos_cap_v2';
    const last = config.finalSigmasType === 'zero' ? 0 : (table[0] ?? 0);
    return solverCourse({
      count: numInferenceSteps ?? timesteps.length,
      timesteps,
      spacing,
      table,
      rounds,
      last: () => last,
    });
  }

  /** T, less the timesteps whose lambda is below lambda_min_clipped. */
  private lastTimestep(): number {
    const least = this.config.lambdaMinClipped ?? Number.NEGATIVE_INFINITY;
    const lambda = (level: number): number => {
      const [signal, rest] = [f32(Math.sqrt(level)), f32(Math.sqrt(f32(1 - level)))];
      return f32(f32(Math.log(signal)) - f32(Math.log(rest)));
    };
    return this.length - this.alphasCumprod.filter(level => lambda(level) < least).length;
  }

  protected override stepsOf({ timesteps, sigmas }: Course, from: number): LinearStep[] {
    const { config, bounds, keptSlots: slots } = this;
    const levels = sigmas.map(levelOf);
    const stochastic = config.algorithmType.startsWith('sde');
    return timesteps.slice(from).map((timestep, k) => {
      const level = levels[from + k] as ReturnType<typeof levelOf>;
      const output = converted(config, level, bounds, !config.algorithmType.endsWith('++'));
      const kept = Array.from({ length: slots }, (_, slot) => keptIn(slot));
      const order = Math.min(k + 1, this.orderAt(from + k, timesteps.length));
      const next = dpmUpdate({
        algorithm: config.algorithmType,
        solverType: config.solverType,
        to: levels[from + k + 1] as ReturnType<typeof levelOf>,
        levels: Array.from({ length: order }, (_, back) => levels[from + k - back] as ReturnType<typeof levelOf>),
        outputs: [output, ...kept].slice(0, order),
      });
      const keep = [output, ...kept].slice(0, slots);
      return solverStep(config, { timestep, level, bounds, next, keep, slots, drawsNoise: stochastic });
    });
  }

  /** The order of step i of n where enough outputs are known. */
  private orderAt(i: number, n: number): number {
    const { solverOrder, lowerOrderFinal, eulerAtFinal, finalSigmasType } = this.config;
    const isShort = lowerOrderFinal && n < 15;
    if (i === n - 1 && (eulerAtFinal || isShort || finalSigmasType === 'zero')) return 1;
    return i === n - 2 && isShort ? Math.min(solverOrder, 2) : solverOrder;
  }
}
