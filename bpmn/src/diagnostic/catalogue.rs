//! The rules, each with its stable id, what it says and what to do.

/// Makes the enum, the id, the description and the advice of every rule from one list.
macro_rules! rules {
    ($($variant:ident $id:literal $description:literal $help:literal;)*) => {
        /// A rule that a model can break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $(#[doc = $description] $variant,)*
        }

        /// Every rule, in the order of `docs/diagnostics.md`.
        pub const CATALOGUE: &[Rule] = &[$(Rule::$variant,)*];

        impl Rule {
            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// One line: what is found.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }

            /// One line: what to do about it, in general.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

rules! {
    InputTooLarge "input-too-large" "The file is larger than the limit." "split the model, or raise the limit";
    InputEncoding "input-encoding" "The file is not UTF-8." "save the model as UTF-8";
    NotXml "not-xml" "The file is not well-formed XML." "export the model again from the modeler";
    Truncated "truncated" "The file ends before its XML does." "the file is cut off: copy or export it again";
    Doctype "doctype" "The file has a DOCTYPE, which BPMN never needs." "remove the DOCTYPE: document types and entities are refused, they are an attack on XML parsers";
    UnknownEntity "unknown-entity" "The text uses an entity that XML does not define." "use one of &amp; &lt; &gt; &quot; &apos; or a character reference such as &#160;";
    TooDeep "too-deep" "Elements are nested deeper than the limit." "no real process needs such depth: export the model again, or raise the limit";
    TooManyElements "too-many-elements" "The file has more XML elements than the limit." "split the model into several processes, or raise the limit";
    TooManyAttributes "too-many-attributes" "An element has more attributes than the limit." "no BPMN element has so many attributes: export the model again";
    NotBpmn "not-bpmn" "The file is XML, but not BPMN 2.0." "the root must be `definitions` in the namespace http://www.omg.org/spec/BPMN/20100524/MODEL";
    NoProcess "no-process" "The file has no process." "draw a process: a collaboration or a diagram alone has nothing to run";
    NotExecutable "not-executable" "No process of the file is executable." "set isExecutable=\"true\" on the process that shall run";
    EmptyProcess "empty-process" "An executable process has no flow nodes." "draw at least a start event, a task and an end event";
    MissingId "missing-id" "An element has no id." "give the element an id; states, traces and diagnostics name it";
    InvalidId "invalid-id" "An id has characters that an id cannot have." "use letters, digits, '_', '-' and '.' only, as xsd:ID asks";
    DuplicateId "duplicate-id" "Two elements have the same id." "ids must be unique in the file: rename one of them";
    UnknownReference "unknown-reference" "A reference names an element that does not exist." "correct the reference, or draw what it refers to";
    WrongReference "wrong-reference" "A reference names an element of the wrong kind." "refer to an element of the kind that belongs there";
    FlowMismatch "flow-mismatch" "`incoming` or `outgoing` does not agree with the sequence flows." "the sequence flows decide; open and save the model in a modeler to make both agree";
    FlowCrossesScope "flow-crosses-scope" "A sequence flow leaves its process or sub-process." "sequence flows stay inside one process or sub-process; use a message flow or an event instead";
    MissingStartEvent "missing-start-event" "A process has no start event." "draw a start event where instances begin";
    MissingIncoming "missing-incoming" "An element can never be entered." "connect it with a sequence flow, or remove it";
    MissingOutgoing "missing-outgoing" "An element leads nowhere." "connect it with a sequence flow to what comes next";
    ImplicitEnd "implicit-end" "A token ends at an activity that has no outgoing flow." "draw an end event behind it, to say that the process ends there on purpose";
    StartEventIncoming "start-event-incoming" "A sequence flow enters a start event." "let the flow end at the first element behind the start event";
    EndEventOutgoing "end-event-outgoing" "A sequence flow leaves an end event." "use an intermediate throw event, or remove the flow";
    BoundaryIncoming "boundary-incoming" "A sequence flow enters a boundary event." "a boundary event is entered through its activity only: remove the flow";
    EventSubProcessFlow "event-sub-process-flow" "A sequence flow enters or leaves an event sub-process." "an event sub-process is started by its start event only: remove the flow";
    EventSubProcessStart "event-sub-process-start" "An event sub-process does not have exactly one start event that waits for something." "give it one start event, with a message, timer, error or other event";
    SubProcessStart "sub-process-start" "A sub-process starts otherwise than by one none start event." "give the sub-process one start event without an event definition; to wait for an event use an event sub-process";
    EmptySubProcess "empty-sub-process" "A sub-process holds nothing." "draw what it does, or remove it";
    AdHocEvent "ad-hoc-event" "An ad-hoc sub-process has a start or an end event." "remove the event: the elements without incoming flows start, and the sub-process ends by itself";
    EmptyAdHoc "empty-ad-hoc" "An ad-hoc sub-process has no activity." "draw at least one activity in it";
    InstantiateEntered "instantiate-entered" "What starts instances of a process is entered by a flow, or stands in a sub-process." "remove the flow, or set instantiate to false";
    Unreachable "unreachable" "No path leads from a start event to the element." "connect it, or remove it";
    ZeroWaitLoop "zero-wait-loop" "A cycle of flows passes no task and no waiting event." "put a task or a timer into the cycle; as drawn a token would spin for ever";
    ConditionMissing "condition-missing" "A flow that needs a condition has none." "give the flow a condition, or make it the default flow";
    ConditionNotAllowed "condition-not-allowed" "A flow has a condition where none can be evaluated." "remove the condition, or put an exclusive gateway before the flow";
    DefaultNotOutgoing "default-not-outgoing" "The default flow does not start at its element." "make one of the element's own outgoing flows the default";
    DefaultWithCondition "default-with-condition" "The default flow has a condition." "remove the condition: the default flow is taken when no other is";
    DefaultNotAllowed "default-not-allowed" "An element that chooses no flow has a default flow." "remove `default`; only activities and exclusive, inclusive and complex gateways have one";
    NoDefault "no-default" "Every flow of an exclusive gateway has a condition, none is the default." "make one flow the default, else a token for which no condition holds becomes an incident";
    ImplicitDefault "implicit-default" "The one flow without a condition is taken as the default." "set `default` on the gateway to say so in BPMN";
    SuperfluousGateway "superfluous-gateway" "A gateway has one flow in and one out." "remove the gateway, it decides nothing";
    GatewayJoinFork "gateway-join-fork" "A gateway both joins and forks." "draw two gateways, one that joins and one that forks: who reads the model sees both";
    FakeJoin "fake-join" "Several flows enter an activity or an event, which joins nothing." "put an exclusive gateway before it to merge, or a parallel gateway to wait for all: as drawn each token runs it";
    ImplicitSplit "implicit-split" "Several flows without a condition leave an activity or an event." "put a parallel gateway behind it, to say that all of them are taken";
    DuplicateFlow "duplicate-flow" "Two sequence flows do the same." "remove one of them; two tokens arrive where one was meant";
    SuperfluousTermination "superfluous-termination" "A terminate end event has nothing to terminate." "use a none end event: no other token can be there";
    UnusedDeclaration "unused-declaration" "An error, signal or escalation is declared and never used." "remove it, or refer to it from an event";
    Deadlock "deadlock" "A join can wait for ever for a token that cannot come." "join with the kind of gateway that forked: exclusive branches with an exclusive gateway, parallel ones with a parallel gateway";
    LackOfSynchronisation "lack-of-synchronisation" "Two tokens can be at one element at the same time." "join parallel branches with a parallel gateway before the element: as drawn it runs once for each token";
    UnsafeJoin "unsafe-join" "A parallel join can get two tokens on one incoming flow." "join the branches that bring both with a parallel gateway of their own: as drawn a token is joined with another's";
    DeadElement "dead-element" "Elements can never run although a path leads to them." "let each incoming flow of the join be taken in one run, or use an exclusive gateway";
    NoCompletion "no-completion" "An instance can come to where no end can be reached." "give the cycle a way out to an end event";
    SoundnessUndecided "soundness-undecided" "Whether the process is sound was not decided." "nothing to do; to have it decided, split the process or draw it in blocks";
    EventDefinitionMissing "event-definition-missing" "An event does not say what it waits for." "choose what the event waits for, e.g. a timer";
    EventDefinitionNotAllowed "event-definition-not-allowed" "The standard has no event of this kind at this place." "use another kind of event";
    NotifiesItself "notifies-itself" "A process is started by the topic that it notifies: each of its instances starts others." "let notification_kafka_topic and the start event's topic be different";
    ConditionalStart "conditional-start" "A process starts by a condition over variables that somebody offers." "offer variables: flowctl offer -d JSON, or POST /conditions";
    EventReferenceMissing "event-reference-missing" "An event or task does not say which message, signal, error or escalation it is about." "choose the message, signal, error or escalation, or bind a task that sends to a service";
    NameMissing "name-missing" "A message or signal has no name." "give it a name: names are what is compared";
    CodeExpression "code-expression" "An error or escalation that is caught has an expression as its code." "write the code as it is; only what is thrown can be computed";
    LinkUnpaired "link-unpaired" "A link event has no name, or not exactly one catch event for its throws." "give both ends the same link name, and each name one catch event in the same process or sub-process";
    LinkFlow "link-flow" "A sequence flow leaves a link throw event or enters a link catch event." "remove the flow: the link leads from one to the other";
    EventGatewayTarget "event-gateway-target" "An event-based gateway does not lead to two or more events that wait." "let each flow lead to a message, timer, signal or conditional catch event or a receive task, entered by this flow only";
    EventGatewayParallel "event-gateway-parallel" "An event-based gateway is parallel and does not start instances." "set instantiate to true, or the type to Exclusive";
    CompensationHandler "compensation-handler" "A compensation boundary event does not have exactly one handler." "connect the event by an association with one activity marked as for compensation, and both with no flow";
    CompensationTarget "compensation-target" "A compensation event names something that cannot be compensated there." "name an activity of the same process or sub-process that has a compensation boundary event, or none";
    BoundaryNotAttached "boundary-not-attached" "A boundary event is not attached to an activity." "attach the event to an activity of the same process or sub-process";
    BoundaryMustInterrupt "boundary-must-interrupt" "An error boundary event does not interrupt." "set cancelActivity to true: an activity that failed cannot go on";
    StartMustInterrupt "start-must-interrupt" "The error start event of an event sub-process does not interrupt." "set isInterrupting to true: what failed cannot go on";
    DuplicateCatch "duplicate-catch" "Two events that wait at the same time wait for the same." "remove one of them, or give them different names: one message starts or continues one of them only";
    DuplicateBoundary "duplicate-boundary" "Two boundary events of an activity catch the same error or escalation." "remove one of them, or give them different error codes";
    ErrorCodeMissing "error-code-missing" "An error, or an escalation that is thrown, has no code." "give it an errorCode or escalationCode; to catch all of them leave out the reference";
    TimerDefinition "timer-definition" "A timer does not have exactly one of date, duration and cycle." "give the timer one timeDate, timeDuration or timeCycle";
    TimerCycleOnce "timer-cycle-once" "A timer cycle can fire only once." "use a duration or a date; only start events and events that do not interrupt repeat";
    TimerInvalid "timer-invalid" "A timer's value is not ISO 8601." "write a date as 2026-12-24T18:00:00Z, a duration as PT15M, or an expression as =feel";
    LoopCondition "loop-condition" "A loop has neither a condition nor a maximum." "give the loop a loopCondition or a loopMaximum";
    LoopCount "loop-count" "A multi-instance activity does not say, or says twice, how many instances there are." "give it a loopCardinality or a collection, one of them";
    LoopBehavior "loop-behavior" "The behavior of a multi-instance activity cannot be executed." "use All, None, One or Complex, with events that can be thrown and caught";
    QuantityInvalid "quantity-invalid" "A quantity or a loop's maximum is not a whole number above 0." "write a whole number from 1 on";
    CalledElementMissing "called-element-missing" "A call activity does not say what it calls." "set calledElement to the id of a process or global task";
    ScriptMissing "script-missing" "A script task has neither a script nor a service." "write a script in FEEL, or bind the task to a service";
    DecisionMissing "decision-missing" "A business rule task has neither a decision nor a service." "name the decision of a DMN file, or bind the task to a service";
    DecisionUnknown "decision-unknown" "A decision is in no DMN file that was given with the model." "give the DMN file along with the model";
    FormInvalid "form-invalid" "A form cannot be read, or data cannot be judged as it says." "correct the form; docs/user-tasks.md lists what forms have";
    FormMissing "form-missing" "The form of a user task was not given with the model." "apply the form along with the model, from the same folder";
    VariableName "variable-name" "A variable has a name that no expression can use." "use letters, digits and '_', not starting with a digit";
    ExtensionInvalid "extension-invalid" "A vendor's extension lacks something, or has a value that cannot be used." "correct the extension in the modeler's properties";
    MessageFlowInPool "message-flow-in-pool" "A message flow stays inside of one pool." "use a sequence flow inside of a pool; messages go from one pool to another";
    BindingMissing "binding-missing" "A task does not say which service does it." "annotate the task (rexflow: service: host ...), give it a zeebe:taskDefinition type, or bind it with --bind TYPE=URL";
    BindingInvalid "binding-invalid" "What says which service does a task cannot be used." "correct the value";
    ConnectorInvalid "connector-invalid" "What a connector is told cannot be used." "correct the input or header; docs/connectors.md lists what a connector takes";
    ConnectorSecret "connector-secret" "A password or token is written into the model." "write {{secrets.NAME}} and give the sidecar a file NAME below --secrets: models are read by many";
    ConnectorForeign "connector-foreign" "A connector of Camunda that is not built in." "bind its type to a service of your own that does it, as any task type: it gets the inputs as variables";
    AnnotationSyntax "annotation-syntax" "A REXFlow annotation is not YAML." "correct the YAML; indentation with spaces, one `key: value` a line";
    AnnotationValue "annotation-value" "A REXFlow annotation has a value that cannot be used." "correct the value";
    AnnotationUnknownKey "annotation-unknown-key" "A REXFlow annotation has a key that does not exist." "check the key's spelling; unknown keys do nothing";
    AnnotationSeveral "annotation-several" "An element has more than one REXFlow annotation." "keep one annotation, with all keys in it";
    AnnotationOldSpelling "annotation-old-spelling" "A REXFlow annotation uses an older spelling." "it is read; use the newer spelling when you touch the model";
    AnnotationIgnored "annotation-ignored" "A REXFlow annotation has no effect here." "remove it when you touch the model";
    AnnotationUnsupported "annotation-unsupported" "A REXFlow annotation asks for something that is not executable." "remove the key";
    AnnotationUnattached "annotation-unattached" "A REXFlow annotation belongs to no element." "connect the annotation with its element by an association";
    ClosureParameter "closure-parameter" "An input or output parameter of closure transport cannot be read." "write `key: TYPE`, TYPE being STRING, BOOLEAN, DOUBLE, INTEGER, JSON_OBJECT or JSON_ARRAY, and below it `default: JSON` if there is one";
    ExpressionSyntax "expression-syntax" "An expression cannot be parsed." "correct the expression";
    ExpressionEmpty "expression-empty" "An expression is empty." "write the expression, or remove the element";
    ExpressionLanguage "expression-language" "An expression is in a language that is not executed." "write the expression in FEEL";
    UnknownVariable "unknown-variable" "An expression reads a variable that nothing can have set there." "check the name, and where it is set";
    UnknownFunction "unknown-function" "An expression calls a function that does not exist." "use a function of FEEL; the call's value is null as it stands";
    UnsupportedElement "unsupported-element" "An element of BPMN is not executable." "use an element that is; see docs/bpmn-support.md";
    UnsupportedAttribute "unsupported-attribute" "An attribute or marker of BPMN is not executable." "remove it; see docs/bpmn-support.md";
    UnsupportedExtension "unsupported-extension" "An extension changes what is executed, and is not executable." "remove it, or model it with BPMN";
    UnknownExtension "unknown-extension" "An extension is unknown and has no effect." "nothing to do unless it was meant to have one";
    NotDmn "not-dmn" "The file is XML, but not DMN." "the root must be `definitions` in a namespace of DMN 1.1 to 1.5";
    DmnNoDecision "dmn-no-decision" "The file has no decision." "draw a decision: inputs and knowledge models alone decide nothing";
    DmnName "dmn-name" "An element of DMN has neither an id nor a name, or a name that no expression can use." "give the element a name of letters, digits and spaces";
    DmnDuplicate "dmn-duplicate" "Two elements of DMN have the same id or name." "rename one of them";
    DmnReference "dmn-reference" "A requirement names an element that does not exist or is of another kind." "correct the reference, or draw what is required";
    DmnCycle "dmn-cycle" "Decisions or knowledge models require each other in a cycle." "remove one of the requirements";
    DmnImport "dmn-import" "The file needs another file." "copy what is needed into this file: decisions of other files are not imported";
    DmnLogic "dmn-logic" "A decision or knowledge model has no logic, or logic that cannot be evaluated." "give it a decision table or another expression, with all its parts";
    DmnTable "dmn-table" "The parts of a decision table do not fit together." "give every rule one cell per input and output, and each of several outputs a name of its own";
    DmnHitPolicy "dmn-hit-policy" "A hit policy or aggregation is unknown or does not fit the table." "use UNIQUE, FIRST, PRIORITY, ANY, COLLECT, RULE ORDER or OUTPUT ORDER; COLLECT with SUM, MIN, MAX or COUNT";
    DmnExpression "dmn-expression" "An expression or cell of DMN is not FEEL." "correct the expression; text stands in quotation marks";
    DmnUnknownName "dmn-unknown-name" "An expression of DMN uses a name that it does not have." "draw the requirement, or correct the name";
    DmnLanguage "dmn-language" "An expression of DMN is in another language than FEEL." "write the expression in FEEL";
    DmnType "dmn-type" "A type of DMN is unknown." "use a type of FEEL or one that the file defines; dates in strings are understood only by their type";
    DmnUnsupported "dmn-unsupported" "An element of DMN is not executable." "express it by decision tables and FEEL";
}
