/** Stage. */
import type { StageHost, StageView } from "./stage";
export const createPoseStage = (_host: StageHost): StageView => { throw new Error("not yet"); };
