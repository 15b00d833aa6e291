/** The way into the whole guide. What runs it is in guide-run.ts, which is loaded when it is called. */
import { loadPart } from '../../core/load-part.ts';
import type { GuideArgs, GuideOutput } from './guide-arguments.ts';

/**
 * Runs the whole guide.
 * @throws InputError or ShapeError for arguments that make no sense, before any model works; WeightsError for damaged folders; DeviceError; the
 * signal's reason
 */
export async function runGuide(args: GuideArgs): Promise<GuideOutput> {
  const { guideRun } = await loadPart('the guide', () => import('./guide-run.ts'));
  return guideRun(args);
}
