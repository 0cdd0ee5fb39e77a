/** Short names for the generated types of the server, and nothing of our own. */
import type { ServerMessage } from "./events.generated";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Claim = Schemas["Claim"];
export type Task = Schemas["Task"];
export type ObjectTask = Schemas["ObjectTask"];
export type PickTask = Schemas["PickTask"];
export type PoseTask = Schemas["PoseTask"];
export type PickCandidate = Schemas["PickCandidate"];
export type PhotoRef = Schemas["PhotoRef"];
export type TargetRef = Schemas["TargetRef"];
export type PointCloudRef = Schemas["PointCloudRef"];
export type Intrinsics = Schemas["Intrinsics"];
export type PoseJson = Schemas["PoseJson"];
export type ObjectResult = Schemas["ObjectResult"];
export type ObjectTarget = Schemas["ObjectTarget"];
export type PickResult = Schemas["PickResult"];
export type PoseResult = Schemas["PoseResult"];
export type Result = Schemas["Result"];
export type Comparison = Schemas["PairOutcome"];
export type AttentionJson = Schemas["Attention"];
export type ArenaMatch = Schemas["ArenaMatch"];
export type Project = Schemas["Project"];
export type Image = Schemas["Image"];
export type ImagePage = Schemas["ImagePage"];
export type PointMap = Schemas["PointMap"];
export type Job = Schemas["Job"];
export type JobStarted = Schemas["JobStarted"];
export type PoseSnap = Schemas["PoseSnap"];
export type ArtistCase = Schemas["ArtistCase"];
export type ArtistCaseRow = Schemas["ArtistCaseRow"];
export type ArtistCaseList = Schemas["ArtistCaseList"];
export type Settings = Schemas["Settings"];
export type MyWork = Schemas["MyWork"];
export type PastTask = Schemas["PastTask"];
export type Pace = Schemas["Pace"];
export type Guidelines = Schemas["Guidelines"];
export type StageGuide = Schemas["StageGuide"];
export type GuidelineExample = Schemas["GuidelineExampleRef"];
export type QuizQuestion = Schemas["QuizQuestion"];
export type QuizMark = Schemas["QuizMark"];
/** The answer to a submit or an escalation. */
export type Ended = Schemas["Submitted"] | Schemas["AssignmentState"];
export type ProblemBody = Schemas["Problem"];

export type Stage = Claim["stage"];
export type Unit = PoseJson["unit"];
export type Wxyz = PoseJson["rotation_wxyz"];
export type Vec3 = PoseJson["translation"];

export type ServerEvent = ServerMessage;
/** The header X-Candid8-Reason of an answer without work. */
export type NoWorkReason = "empty" | "all_leased" | "not_qualified" | "paused" | "guidelines_changed" | "quiz_needed";
