/**
 * Which config fields other schedulers know. A folder's scheduler_config.json may have been written by any of them;
 * fromConfig() passes over a neighbour's fields in silence and warns about the rest. Only the fields beyond the twelve
 * that DDIM inversion has itself are listed.
 */

const THRESHOLD = 'thresholding dynamic_thresholding_ratio sample_max_value';
const SIGMAS = 'use_karras_sigmas use_exponential_sigmas use_beta_sigmas';
const FLOW = `${SIGMAS} use_flow_sigmas flow_shift`;
const SOLVER = `solver_order ${THRESHOLD} algorithm_type solver_type lower_order_final`;
const EDM = 'sigma_min sigma_max sigma_data sigma_schedule rho';
const SHIFT =
  'shift use_dynamic_shifting base_shift max_shift base_image_seq_len max_image_seq_len invert_sigmas shift_terminal';

const FIELDS: Readonly<Record<string, string>> = {
  AmusedScheduler: 'mask_token_id masking_schedule',
  CMStochasticIterativeScheduler: 'sigma_min sigma_max sigma_data s_noise rho clip_denoised',
  CogVideoXDDIMScheduler: 'sample_max_value snr_shift_scale',
  CogVideoXDPMScheduler: 'sample_max_value snr_shift_scale',
  DDIMParallelScheduler: THRESHOLD,
  DDIMScheduler: THRESHOLD,
  DDPMParallelScheduler: `variance_type ${THRESHOLD}`,
  DDPMScheduler: `variance_type ${THRESHOLD}`,
  DDPMWuerstchenScheduler: 'scaler s',
  DEISMultistepScheduler: `${SOLVER} ${FLOW}`,
  DPMSolverMultistepInverseScheduler: `${SOLVER} ${FLOW} euler_at_final lambda_min_clipped variance_type`,
  DPMSolverMultistepScheduler: `${SOLVER} ${FLOW} euler_at_final use_lu_lambdas final_sigmas_type lambda_min_clipped variance_type`,
  DPMSolverSDEScheduler: `${SIGMAS} noise_sampler_seed`,
  DPMSolverSinglestepScheduler: `${SOLVER} ${FLOW} final_sigmas_type lambda_min_clipped variance_type`,
  EDMDPMSolverMultistepScheduler: `${EDM} ${SOLVER} euler_at_final final_sigmas_type`,
  EDMEulerScheduler: `${EDM} final_sigmas_type`,
  EulerDiscreteScheduler: `${SIGMAS} interpolation_type sigma_min sigma_max timestep_type final_sigmas_type`,
  FlowMatchEulerDiscreteScheduler: `${SHIFT} ${SIGMAS} time_shift_type stochastic_sampling`,
  FlowMatchHeunDiscreteScheduler: 'shift',
  FlowMatchLCMScheduler: `${SHIFT} ${SIGMAS} time_shift_type scale_factors upscale_mode`,
  HeunDiscreteScheduler: SIGMAS,
  KDPM2AncestralDiscreteScheduler: SIGMAS,
  KDPM2DiscreteScheduler: SIGMAS,
  KarrasVeScheduler: 'sigma_min sigma_max s_noise s_churn s_min s_max',
  LCMScheduler: `original_inference_steps ${THRESHOLD} timestep_scaling`,
  LMSDiscreteScheduler: SIGMAS,
  PNDMScheduler: 'skip_prk_steps',
  RePaintScheduler: 'eta',
  SASolverScheduler: `predictor_order corrector_order tau_func ${THRESHOLD} algorithm_type lower_order_final ${FLOW} lambda_min_clipped variance_type`,
  SCMScheduler: 'sigma_data',
  ScoreSdeVeScheduler: 'snr sigma_min sigma_max sampling_eps correct_steps',
  TCDScheduler: `original_inference_steps ${THRESHOLD} timestep_scaling`,
  UnCLIPScheduler: 'variance_type',
  UniPCMultistepScheduler: `solver_order ${THRESHOLD} predict_x0 solver_type lower_order_final disable_corrector solver_p ${FLOW} final_sigmas_type`,
  VQDiffusionScheduler: 'num_vec_classes alpha_cum_start alpha_cum_end gamma_cum_start gamma_cum_end',
};

/** The schedulers that a Stable Diffusion pipeline of diffusers may exchange for one another. */
export const INTERCHANGEABLE: readonly string[] = [
  'DDIMScheduler',
  'DDPMScheduler',
  'PNDMScheduler',
  'LMSDiscreteScheduler',
  'EulerDiscreteScheduler',
  'HeunDiscreteScheduler',
  'EulerAncestralDiscreteScheduler',
  'DPMSolverMultistepScheduler',
  'DPMSolverSinglestepScheduler',
  'KDPM2DiscreteScheduler',
  'KDPM2AncestralDiscreteScheduler',
  'DEISMultistepScheduler',
  'UniPCMultistepScheduler',
  'DPMSolverSDEScheduler',
  'EDMEulerScheduler',
];

/**
 * Fields that scheduler classes take in addition to those of DDIM inversion.
 * @param classNames diffusers class names; unknown ones add nothing
 * @returns snake_case field names
 */
export function extraFieldsOf(classNames: readonly string[]): ReadonlySet<string> {
  return new Set(classNames.flatMap(name => (Object.hasOwn(FIELDS, name) ? (FIELDS[name] ?? '').split(' ') : [])));
}
