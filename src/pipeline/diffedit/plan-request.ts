/** A request as its plan sees it: what it takes memory by, and itself with nothing that anybody could see or hear. */
import { Generator } from '../../schedulers/generator.ts';
import { standIn } from '../diffusion/generators.ts';
import { latentSides } from '../diffusion/image-latents.ts';
import { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { PlannedCall } from '../diffusion/planned-call.ts';
import { guidanceShape } from './guidance.ts';
import type { Request } from './request.ts';
import { runPhases } from './run-phases.ts';

/** A request for the planner of the model. */
export function plannedCall(model: LatentDiffusion, request: Request): PlannedCall {
  const { pictures, mask, invert, edit } = request;
  const made = edit && edit.batch * edit.copies;
  const most = (...numbers: readonly (number | undefined)[]): number => Math.max(1, ...numbers.map(n => n ?? 1));
  return {
    key: keyOf(request),
    rows: most(
      mask && mask.batch * (mask.guidance.guided ? 4 : 2),
      invert && invert.batch * (invert.guidance.guided ? 2 : 1),
      made && made * (edit.guidance.guided ? 2 : 1),
    ),
    pictures: most(made, invert?.decoded && invert.batch * invert.schedule.length),
    sides: pictures ? latentSides(pictures, model.autoencoder) : (edit?.latents?.shape.slice(-2) ?? []),
    work: (call, twin) => runPhases(call, new LatentDiffusion(twin, model), unseen(request)),
  };
}

function keyOf({ pictures, mask, invert, edit }: Request): unknown {
  return [
    pictures?.shape,
    mask && [mask.batch, guidanceShape(mask.guidance), mask.cleanup],
    invert && [
      invert.batch,
      guidanceShape(invert.guidance),
      invert.schedule.length,
      !!invert.regularisation,
      ...[invert.returned, invert.kind, invert.rounds > 0, invert.decoded !== undefined],
    ],
    edit && [
      edit.batch,
      edit.copies,
      guidanceShape(edit.guidance),
      edit.schedule.length,
      edit.noisy,
      edit.mask?.shape,
      ...[
        edit.latents?.shape,
        edit.output === 'latent',
        edit.mendQuirks,
        !!edit.noise,
        edit.softExponent !== undefined,
      ],
    ],
  ];
}

/** The caller's callbacks are not called, the caller's generators not drawn from, and no picture is finished on the host. */
function unseen(request: Request): Request {
  const { pictures, mask, invert, edit } = request;
  const quiet = { callback: undefined, callbackSteps: 1 };
  return {
    pictures,
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
