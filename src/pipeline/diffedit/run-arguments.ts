/** Which of `run`'s arguments each of its phases reads, and under which of `run`'s names. */
import { type ArgumentsOf, argumentsOf } from './arguments.ts';

/** A method that `run` calls. */
export type PhaseMethod = 'generateMask' | 'invert' | 'edit';

/** Where `run` has another name than the phase: the first of these that was given counts. */
const RUN_NAMES: Readonly<Record<PhaseMethod, Readonly<Record<string, readonly string[]>>>> = {
  generateMask: { guidanceScale: ['maskGuidanceScale', 'guidanceScale'], outputType: [] },
  invert: {
    prompt: ['sourcePrompt'],
    promptEmbeds: ['sourcePromptEmbeds'],
    negativePrompt: ['invertNegativePrompt'],
    negativePromptEmbeds: ['invertNegativePromptEmbeds'],
    guidanceScale: ['invertGuidanceScale', 'guidanceScale'],
    outputType: [],
  },
  edit: { prompt: ['targetPrompt'], promptEmbeds: ['targetPromptEmbeds'] },
};

/**
 * Under which of `run`'s names a phase reads its arguments: of each list the first that was given counts.
 * @returns one list for each argument that it takes from `run`
 */
export function runNamesOf(method: PhaseMethod): readonly (readonly string[])[] {
  return argumentsOf(method)
    .map(name => RUN_NAMES[method][name] ?? [name])
    .filter(names => names.length > 0);
}

/** A phase's arguments taken from those of `run`. */
export interface FromRun<M extends PhaseMethod> {
  readonly args: Partial<ArgumentsOf[M]>;
  /** Under which name the caller knows an argument. */
  readonly nameOf: (name: string) => string;
}

/**
 * What a phase gets of `run`'s arguments.
 * @param args by run's names; others, such as a command line's other options, are passed over
 * @param renamed by which of run's names a phase's argument comes, where that depends on the arguments
 */
export function phaseArguments<M extends PhaseMethod>(
  method: M,
  args: object,
  renamed: Readonly<Record<string, readonly string[]>> = {},
): FromRun<M> {
  const given = args as Readonly<Record<string, unknown>>;
  const names = { ...RUN_NAMES[method], ...renamed };
  const nameOf = (name: string): string => {
    const own = names[name] ?? [name];
    return own.find(one => given[one] !== undefined) ?? own.at(-1) ?? name;
  };
  const pairs = argumentsOf(method)
    .filter(name => names[name]?.length !== 0)
    .map(name => [name, given[nameOf(name)]] as const);
  return { args: Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as object, nameOf };
}
