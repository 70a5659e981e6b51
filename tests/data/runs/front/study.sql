BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'front');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,0.1125,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,0.2,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,1,0.275,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,2,0.425,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,3,1,0.2375,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,3,2,0.25,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,4,1,0.325,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,4,2,0.3875,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,5,1,0.275,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,5,2,0.325,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'stem.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(2,1,'stem.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(3,1,'s1.depth',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 3]}}');
INSERT INTO "trial_params" VALUES(4,1,'s1.out',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(5,1,'s1.layer1.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(6,1,'s1.layer2.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(7,1,'s1.layer3.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(8,2,'stem.out',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(9,2,'stem.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(10,2,'s1.depth',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 3]}}');
INSERT INTO "trial_params" VALUES(11,2,'s1.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(12,2,'s1.layer1.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(13,2,'s1.layer2.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(14,2,'s1.layer3.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(15,3,'stem.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(16,3,'stem.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(17,3,'s1.depth',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 3]}}');
INSERT INTO "trial_params" VALUES(18,3,'s1.out',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(19,3,'s1.layer1.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(20,3,'s1.layer2.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(21,3,'s1.layer3.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(22,4,'stem.out',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(23,4,'stem.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(24,4,'s1.depth',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 3]}}');
INSERT INTO "trial_params" VALUES(25,4,'s1.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(26,4,'s1.layer1.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(27,4,'s1.layer2.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(28,5,'stem.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(29,5,'stem.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(30,5,'s1.depth',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [1, 2, 3]}}');
INSERT INTO "trial_params" VALUES(31,5,'s1.out',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 6, 8]}}');
INSERT INTO "trial_params" VALUES(32,5,'s1.layer1.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(33,5,'s1.layer2.kernel',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
INSERT INTO "trial_params" VALUES(34,5,'s1.layer3.kernel',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [3, 5]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'RepeatableNSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(2,2,'RepeatableNSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(3,3,'RepeatableNSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(4,4,'RepeatableNSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(5,5,'RepeatableNSGAIISampler:generation','1');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'macs','104488');
INSERT INTO "trial_user_attributes" VALUES(2,1,'params','1506');
INSERT INTO "trial_user_attributes" VALUES(3,1,'activations','2826');
INSERT INTO "trial_user_attributes" VALUES(4,1,'identity','"4567c5c152ca09fb0ac5d1aed4bca5ed"');
INSERT INTO "trial_user_attributes" VALUES(5,1,'rejected','{}');
INSERT INTO "trial_user_attributes" VALUES(6,1,'seconds','0.112');
INSERT INTO "trial_user_attributes" VALUES(7,1,'loss','2.24808292388916');
INSERT INTO "trial_user_attributes" VALUES(8,1,'batch','16');
INSERT INTO "trial_user_attributes" VALUES(9,2,'macs','295504');
INSERT INTO "trial_user_attributes" VALUES(10,2,'params','4604');
INSERT INTO "trial_user_attributes" VALUES(11,2,'activations','3082');
INSERT INTO "trial_user_attributes" VALUES(12,2,'identity','"136eb48adb732831a33d3a8053ea5ccc"');
INSERT INTO "trial_user_attributes" VALUES(13,2,'rejected','{}');
INSERT INTO "trial_user_attributes" VALUES(14,2,'seconds','0.11');
INSERT INTO "trial_user_attributes" VALUES(15,2,'loss','2.0582086563110353');
INSERT INTO "trial_user_attributes" VALUES(16,2,'batch','16');
INSERT INTO "trial_user_attributes" VALUES(17,3,'macs','88104');
INSERT INTO "trial_user_attributes" VALUES(18,3,'params','1250');
INSERT INTO "trial_user_attributes" VALUES(19,3,'activations','2826');
INSERT INTO "trial_user_attributes" VALUES(20,3,'identity','"7bcdc4d4018700e14af4b6e42330728a"');
INSERT INTO "trial_user_attributes" VALUES(21,3,'rejected','{}');
INSERT INTO "trial_user_attributes" VALUES(22,3,'seconds','0.101');
INSERT INTO "trial_user_attributes" VALUES(23,3,'loss','2.181741714477539');
INSERT INTO "trial_user_attributes" VALUES(24,3,'batch','16');
INSERT INTO "trial_user_attributes" VALUES(25,4,'macs','97360');
INSERT INTO "trial_user_attributes" VALUES(26,4,'params','1542');
INSERT INTO "trial_user_attributes" VALUES(27,4,'activations','2058');
INSERT INTO "trial_user_attributes" VALUES(28,4,'identity','"f214e25686c8180160deae6926bf4319"');
INSERT INTO "trial_user_attributes" VALUES(29,4,'rejected','{}');
INSERT INTO "trial_user_attributes" VALUES(30,4,'seconds','0.088');
INSERT INTO "trial_user_attributes" VALUES(31,4,'loss','2.2386873245239256');
INSERT INTO "trial_user_attributes" VALUES(32,4,'batch','16');
INSERT INTO "trial_user_attributes" VALUES(33,5,'macs','260176');
INSERT INTO "trial_user_attributes" VALUES(34,5,'params','4002');
INSERT INTO "trial_user_attributes" VALUES(35,5,'activations','3594');
INSERT INTO "trial_user_attributes" VALUES(36,5,'identity','"db81ddd27a6e05ea437d7d11599b1ab9"');
INSERT INTO "trial_user_attributes" VALUES(37,5,'rejected','{}');
INSERT INTO "trial_user_attributes" VALUES(38,5,'seconds','0.102');
INSERT INTO "trial_user_attributes" VALUES(39,5,'loss','2.1932992935180664');
INSERT INTO "trial_user_attributes" VALUES(40,5,'batch','16');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.2,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,0.425,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,0.3875,'FINITE');
INSERT INTO "trial_values" VALUES(5,5,0,0.325,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 05:14:12.641658','2026-11-28 05:14:14.148484');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-28 05:14:14.179913','2026-11-28 05:14:14.604549');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-28 05:14:14.638272','2026-11-28 05:14:15.055667');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-28 05:14:15.081768','2026-11-28 05:14:15.476282');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-28 05:14:15.504535','2026-11-28 05:14:15.919916');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
