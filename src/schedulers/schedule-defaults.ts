import {
  type ConfigKind,
  configFrom,
  configFromFields,
  isConfig,
  type ScheduleFields,
  type SchedulerConfig,
} from './config.ts';

/** Defaults of the fields that all classes have, as the samplers beside DDIM have them. */
export const SCHEDULE_DEFAULTS: ScheduleFields = {
  numTrainTimesteps: 1000,
  betaStart: 0.0001,
  betaEnd: 0.02,
  betaSchedule: 'linear',
  trainedBetas: null,
  stepsOffset: 0,
  predictionType: 'epsilon',
  timestepSpacing: 'linspace',
};

/** A class's config from fields, or from another scheduler's config. @throws InputError as configFrom() and configFromFields() */
export function configOf<F extends ScheduleFields>(
  kind: ConfigKind<F>,
  fields: Partial<F> | SchedulerConfig,
): SchedulerConfig<F> {
  return isConfig(fields) ? configFrom(kind, fields) : configFromFields(kind, fields);
}
