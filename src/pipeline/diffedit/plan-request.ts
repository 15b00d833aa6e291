/** A call as its plan makes it: the same sizes and steps, and nothing that anybody could see or hear of it. */
import { Generator } from '../../schedulers/generator.ts';
import type { Generators } from '../diffusion/generators.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { StableDiffusionNetworks } from '../diffusion/stable-diffusion-folder.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Networks } from '../runtime/network.ts';
import type { Request } from './request.ts';
import { runPhases } from './run-phases.ts';

/**
 * The work of a request, for a plan.
 * @param adjust what is to be otherwise than in the model itself, such as slicing
 */
export function dryWork(
  model: LatentDiffusion,
  request: Request,
  adjust: (twin: LatentDiffusion) => void = () => {},
): (call: DeviceCall, networks: Networks<StableDiffusionNetworks>) => AsyncGenerator<unknown, unknown> {
  return (call, networks) => {
    const twin = model.twin(call, networks);
    adjust(twin);
    return runPhases(call, twin, unseen(request));
  };
}

/** The caller's callbacks are not called, the caller's generators not drawn from, and no picture is finished on the host. */
function unseen(request: Request): Request {
  const { text, pictures, mask, invert, edit } = request;
  const quiet = { callback: undefined, callbackSteps: 1 };
  return {
    ...{ text, pictures },
    mask: mask && { ...mask, generator: standIn(mask.generator), asPictures: false },
    invert: invert && {
      ...{ ...invert, ...quiet, generator: standIn(invert.generator) },
      regularisation: invert.regularisation && {
        ...invert.regularisation,
        numRegSteps: 0,
        generator: new Generator(0),
      },
      decoded: invert.decoded && 'np',
    },
    edit: edit && {
      ...{ ...edit, ...quiet, generator: standIn(edit.generator), pasteBack: undefined },
      output: edit.output === 'latent' ? 'latent' : 'np',
    },
  };
}

function standIn(generator: Generators): Generators {
  return Array.isArray(generator) ? generator.map(() => new Generator(0)) : new Generator(0);
}
