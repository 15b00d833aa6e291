/** The pipeline on a device: both schedulers from its config, one network on the device at a time, VAE slicing. */
import { DDIMInverseScheduler, DDIMScheduler, DiffEditPipeline, type Gpu } from 'pentimento';
import { directory } from 'pentimento/node';

/** @param path a Stable Diffusion 1.x or 2.x folder in diffusers' layout */
export async function loadPipeline(gpu: Gpu, path = 'models/orchard/stable-diffusion'): Promise<DiffEditPipeline> {
  const folder = await directory(path);
  const config = JSON.parse(await folder.text('scheduler/scheduler_config.json'));
  const pipeline = await DiffEditPipeline.fromPretrained(folder, {
    gpu,
    dtype: 'float32', // the guide's 'float16' where the device has shader-f16
    safetyChecker: null,
    scheduler: DDIMScheduler.fromConfig(config),
    inverseScheduler: DDIMInverseScheduler.fromConfig(config),
  });
  pipeline.enableModelCpuOffload();
  pipeline.enableVaeSlicing();
  return pipeline;
}
