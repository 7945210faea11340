// The page of a session that measures a model: fragments alone.
import { startFragments } from "./session/fragments.js";

startFragments(() => {});
